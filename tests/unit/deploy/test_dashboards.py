"""Grafana's dashboards and their provisioning, by structure: no Grafana is needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.grafana.generate import dashboards
from grafana_foundation_sdk.models.dashboard import Dashboard

from pgbackfill.metrics import Metrics

DEPLOY = Path(__file__).parents[3] / "deploy"
FILES = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = DEPLOY / "prometheus" / "rules" / "pgbackfill.yml"


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in read(path)["panels"] if panel["type"] != "row"]


def known_names() -> set[str]:
    """Of every metric that the daemon can expose, and that the rules record."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
    families = Metrics().registry.collect()
    own = {family.name + suffix for family in families for suffix in suffixes.get(family.type, ("",))}
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return own | {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def test_the_files_are_what_make_generated_writes() -> None:
    assert {path: path.read_text(encoding="utf-8") for path in FILES} == dashboards()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_sdk_reads_what_it_wrote(path: Path) -> None:
    assert Dashboard.from_json(read(path)).uid == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_query_can_be_told_apart_and_has_a_source(path: Path) -> None:
    numbers = [panel["id"] for panel in read(path)["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in panels(path):
        names = [target["refId"] for target in panel["targets"]]
        assert names == [chr(ord("A") + i) for i in range(len(names))], panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
        assert all(target["legendFormat"] for target in panel["targets"])
        assert panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_variable_that_is_used_is_defined(path: Path) -> None:
    defined = {variable["name"] for variable in read(path)["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", path.read_text(encoding="utf-8")))
    assert used - {"__rate_interval"} == defined


def test_both_show_what_an_engineer_looks_for() -> None:
    wanted = {
        "Throughput", "Chunk time", "Chunk size", "Write-ahead log", "Replica lag", "Canary latency", "Holds",
        "Chunks", "Retries", "Rows set aside", "Status", "Progress",
    }  # fmt: skip
    for path in FILES:
        assert wanted <= {panel["title"] for panel in panels(path)}
        assert [each["name"] for each in read(path)["annotations"]["list"]] == ["State changes", "Holds"]


@pytest.mark.parametrize("path", [*FILES, RULES], ids=lambda path: path.stem)
def test_every_metric_is_one_that_exists(path: Path) -> None:
    text = re.sub(r"^\s*#.*|uid.*|alert:.*|name: .*", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if path.suffix == ".json":
        text = " ".join(expressions(read(path)))
    used = set(re.findall(r"\bpgbackfill[_:][\w:]+", text))
    assert used
    assert used <= known_names()


def expressions(dashboard: dict[str, Any]) -> list[str]:
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    annotations = [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    variables = [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    return queries + annotations + variables


def test_provisioning_leads_to_the_dashboards_that_compose_mounts() -> None:
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    grafana = compose["grafana"]
    mounts = dict(mount.split(":")[:2] for mount in grafana["volumes"] if mount.startswith("."))
    provisioning = DEPLOY / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "pgbackfill.yml").read_text())["providers"]
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(provider["options"]["path"])
    assert home.name in {path.name for path in FILES}
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
