"""What the documents say about options, files and versions is what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from pgbackfill.control.options import PacingOptions
from pgbackfill.jobs.failures import classify
from pgbackfill.settings_signals import SignalSettings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def documented_options() -> dict[str, tuple[str, str]]:
    """Default and range of each option in the README's table."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Options\n")[1]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", text, re.MULTILINE)
    return {name: (default, limits) for name, default, limits in rows}


def limits_of(field: Any) -> str:
    """As the README writes them: `1 to 60000`, `above 0, to 1`, the choices of an enumeration."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(get_args(field.annotation))
    found = {name: getattr(item, name) for item in field.metadata for name in ("gt", "ge", "le") if hasattr(item, name)}
    if not found:  # an optional number keeps its limits inside the union
        (number, *_) = get_args(field.annotation)
        found = {name: getattr(i, name) for i in number.__metadata__ for name in ("gt", "ge", "le") if hasattr(i, name)}
    most = {1 << 40: "2^40", 1 << 50: "2^50"}.get(found["le"], str(found["le"]))
    if "gt" in found:
        return f"above {found['gt']}, to {most}"
    return most if found["ge"] == found["le"] else f"{found['ge']} to {most}"


def test_every_option_is_in_the_readme_with_its_default_and_range() -> None:
    wanted = {
        name: ("none" if field.default is None else str(field.default), limits_of(field))
        for name, field in PacingOptions.model_fields.items()
    }
    assert documented_options() == wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_each_sqlstate_of_the_failure_table_means_what_its_row_says() -> None:
    text = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| ([^|]*\d[^|]*) \| ([^|]+) \|", text, re.MULTILINE)
    words = {
        "locked": "row_locked",
        "retry": "the same rows again",
        "slow": "quarantine",
        "poison": "bisect",
        "hold": "server_full",
        "disconnected": "disconnected",
        "fatal": "the job fails",
    }
    seen = set()
    for states, then in rows:
        for state in re.findall(r"\b(?=\w*\d)\w+\b", states):
            failure = classify(state if len(state) == 5 else state + "000")
            assert words[failure] in then, (state, failure)
            seen.add(str(failure))
    assert seen == set(words)


def test_the_pinned_versions_hold_no_address() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in pinned if not re.fullmatch(r"[a-z0-9-]+==[^\s/]+( ; .+)?", line)] == []


def test_every_threshold_is_in_the_table_of_signals_with_its_defaults() -> None:
    text = (ROOT / "docs" / "signals.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| ([\d.]+) s \| ([^|]+) / ([^|]+) \|", text, re.MULTILINE)
    documented = {name: (float(interval), soft, hard) for name, interval, soft, hard in rows}

    def words(limit: float | None) -> str:
        if limit is None:
            return "none"
        return f"{limit / (1 << 30):g} GiB" if limit >= 1 << 30 else f"{limit:g}"

    for name, one in SignalSettings():
        assert documented[name] == (one.interval_s, words(one.soft), words(one.hard)), name
