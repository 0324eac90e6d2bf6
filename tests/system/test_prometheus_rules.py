"""The rules for Prometheus, judged by its own tool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = FOLDER / "rules" / "pgbackfill.yml"
TESTS = FOLDER / "tests" / "pgbackfill_test.yml"


def promtool(*arguments: object) -> str:
    done = subprocess.run(
        ["promtool", *map(str, arguments)], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_and_its_rules_are_valid() -> None:
    assert f"{len(re.findall('expr:', RULES.read_text(encoding='utf-8')))} rules found" in promtool(
        "check", "config", "prometheus.yml"
    )


def test_the_rules_pass_their_unit_tests() -> None:
    assert "SUCCESS" in promtool("test", "rules", TESTS)


def test_every_rule_has_a_unit_test() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    tested = TESTS.read_text(encoding="utf-8")
    names = [rule.get("alert") or rule["record"] for rule in rules]
    assert [name for name in names if f"alertname: {name}\n" not in tested and f"{name}" not in tested] == []
    fired = {
        case["alertname"]
        for test in yaml.safe_load(tested)["tests"]
        for case in test.get("alert_rule_test", [])
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules if "alert" in rule}
