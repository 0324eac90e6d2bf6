"""Dashboards and rules against a real Prometheus, and a daemon that is held, fails a job and quarantines rows.

A minute of the rules is a second here: windows and waiting times are written in minutes and hours, and a test has
seconds. Nothing else of the expressions is changed.
"""

from __future__ import annotations

import json
import math
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from anyio.from_thread import start_blocking_portal

from pgbackfill.embedded import Binaries, Link, Server

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules" / "pgbackfill.yml"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))

SCRAPE_S = 0.25
RATE_WINDOW = "4s"
CHOICES = {"$__rate_interval": RATE_WINDOW, "$scrape_job": ".*", "$instance": ".*", "$backfill": "long|fails|odd"}
NAN_BY_NATURE = "pgbackfill_signal_value != pgbackfill_signal_value"
"""Returns what is not a number, and nothing else."""
SLOW_LINK_BYTES_PER_S = 1e6

Wait = Callable[[Callable[[], bool], str], None]


def hurried(text: str) -> str:
    """The same with seconds for minutes and minutes for hours."""
    return re.sub(r"\b(\d+)h\b", r"\1m", re.sub(r"\b(\d+)m\b", r"\1s", text))


def chosen(expression: str) -> str:
    for variable, value in CHOICES.items():
        expression = expression.replace(variable, value)
    return expression


class Prometheus:
    """A server's HTTP interface."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **parameters: object) -> Any:
        url = f"{self._url}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.loads(answer.read())["data"]

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=60):
                return True
        except OSError:
            return False

    def now(self, expression: str) -> list[float]:
        """The values of this moment."""
        return [float(each["value"][1]) for each in self.get("/api/v1/query", query=expression)["result"]]

    def since(self, start: float, expression: str) -> list[float]:
        """All values from `start` to now."""
        window = {"start": start, "end": time.time(), "step": SCRAPE_S}
        found = self.get("/api/v1/query_range", query=expression, **window)["result"]
        return [float(value) for each in found for _, value in each["values"]]


SetRate = Callable[[float | None], None]


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server, SetRate]]:
    """A primary, its standby, and what sets the bytes a second that can pass between them."""
    settings = {"fsync": "off", "log_min_messages": "fatal"}
    with Server.create(Binaries.find(18), settings) as primary, start_blocking_portal() as portal:
        link = Link(primary.port)
        running, port = portal.start_task(link.run)
        with Server.standby(primary, "standby", conninfo_port=port) as standby:
            yield primary, standby, lambda rate: portal.call(setattr, link, "rate", rate)
        portal.call(running.cancel)


@pytest.fixture
def prometheus(tmp_path: Path, wait_until: Wait) -> Iterator[Callable[[int], Prometheus]]:
    """Starts Debian's Prometheus with the hurried rules, to scrape the daemon on this port."""
    started: list[subprocess.Popen[bytes]] = []

    def start(target: int) -> Prometheus:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        (tmp_path / "rules.yml").write_text(hurried(RULES.read_text(encoding="utf-8")))
        every = f"{SCRAPE_S * 1000:.0f}ms"
        config = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "pgbackfill", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        with (tmp_path / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={tmp_path}/prometheus.yml",
                    f"--storage.tsdb.path={tmp_path}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )
        started.append(process)
        server = Prometheus(port)
        wait_until(lambda: process.poll() is not None or server.ready(), "Prometheus")
        assert process.poll() is None, (tmp_path / "prometheus.log").read_text()
        return server

    yield start
    for process in started:
        process.terminate()
        process.wait(60)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(hurried(RULES.read_text(encoding="utf-8")))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard_queries() -> list[str]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS]
    targets = [t["expr"] for each in found for panel in each["panels"] for t in panel.get("targets", [])]
    annotations = [annotation["expr"] for each in found for annotation in each["annotations"]["list"]]
    return [hurried(chosen(expression)) for expression in targets + annotations]


def variable_queries() -> list[tuple[str, str]]:
    """Label and selector of every `label_values(selector, label)` behind a variable."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS]
    queries = [each["query"] for one in found for each in one["templating"]["list"] if each["type"] == "query"]
    matches = [re.fullmatch(r"label_values\((.+), (\w+)\)", query) for query in queries]
    assert queries
    assert None not in matches
    return [(match[2], chosen(match[1])) for match in matches if match is not None]


def test_every_query_of_rules_and_dashboards_returns_data(
    servers: tuple[Server, Server, SetRate],
    prometheus: Callable[[int], Prometheus],
    start: Callable[..., Any],
    psql: Callable[[str], Any],
    pgbackfill: Callable[..., str],
    wait_until: Wait,
) -> None:
    primary, standby, set_rate = servers
    sql, replica = psql(primary.dsn()), psql(standby.dsn())
    pgbackfill(primary.dsn(), "migrate")
    sql(
        "CREATE TABLE long (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
        "INSERT INTO long SELECT generate_series(1, 300000)",
        "CREATE TABLE wide (id int PRIMARY KEY, text text)",
        "INSERT INTO wide SELECT i, repeat('x', 500) FROM generate_series(1, 100000) AS i",
        "CREATE TABLE odd (id int PRIMARY KEY, n int, CHECK (n <> 7))",
        "INSERT INTO odd SELECT i, CASE WHEN i % 400 = 0 THEN 6 ELSE 0 END FROM generate_series(1, 1000) AS i",
        "CREATE TABLE broken (id int PRIMARY KEY, n int)",
        "INSERT INTO broken SELECT generate_series(1, 10)",
    )
    daemon = start(
        primary.dsn(),
        PGBACKFILL_LAG_SOFT_S="0.5",
        PGBACKFILL_LAG_HARD_S="1",
        PGBACKFILL_LATENCY_SLACK_MS="30000",
        PGBACKFILL_WEBHOOK__URL="http://127.0.0.1:1/nobody-listens",
    )
    wait_until(lambda: daemon.says("ready"), "the daemon")
    server = prometheus(daemon.port())
    began = time.time()
    wait_until(lambda: server.now("pgbackfill_rows_quarantined_total") == [0.0], "the first scrape")

    def status(name: str) -> str:
        return str(sql.value(f"SELECT status FROM pgbackfill.progress WHERE name = '{name}'"))

    def hold() -> str:
        return str(sql.value("SELECT coalesce(hold_reason, '') FROM pgbackfill.progress WHERE name = 'long'"))

    # A failure and a quarantine.
    sql(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('fails', 'broken', 'n = 1')",
        "ALTER TABLE broken DROP COLUMN n",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('odd', 'odd', 'n = n + 1')",
    )
    wait_until(lambda: status("fails") == "failed", "the failure")
    wait_until(lambda: status("odd") == "succeeded", "the quarantine")
    assert sql.value("SELECT count(*) FROM pgbackfill.quarantine") == "2"

    # A queue before the replica, which shows what it can take.
    set_rate(SLOW_LINK_BYTES_PER_S)
    sql("INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('wide', 'wide', 'text = upper(text)')")
    capacity = "pgbackfill_capacity_wal_bytes_per_second > 0"
    wait_until(lambda: server.now(capacity) != [], "the capacity")
    sql("SELECT pgbackfill.cancel('wide')")
    set_rate(None)
    wait_until(lambda: status("wide") == "cancelled", "the end of the queue")

    # A job that runs well, and then slowly.
    slow = next(rule["expr"] for rule in rules() if rule.get("alert") == "PgbackfillSlow")
    sql(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, options)"
        """ VALUES ('long', 'long', 'n = n + 1', '{"max_rows_per_s": 10000, "chunk_max_rows": 1000}')"""
    )
    wait_until(lambda: min(server.now('pgbackfill_progress_ratio{exported_job="long"}'), default=0) > 0.2, "progress")
    sql("""UPDATE pgbackfill.jobs SET options = '{"max_rows_per_s": 50, "chunk_max_rows": 10}' WHERE name = 'long'""")
    wait_until(lambda: server.now(slow) != [], "a job that became slow")

    # A hold, a pause, and a replica that vanishes.
    replica("SELECT pg_wal_replay_pause()")
    wait_until(lambda: hold().startswith("replica_lag "), "the hold")
    wait_until(lambda: server.now("ALERTS{alertname='PgbackfillLagOverBudget', alertstate='firing'}") != [], "an alert")
    replica("SELECT pg_wal_replay_resume()")
    wait_until(lambda: hold() == "", "the end of the hold")
    sql("SELECT pgbackfill.pause('long')")
    wait_until(lambda: server.now('pgbackfill_job_status{exported_job="long", status="paused"} == 1') != [], "a pause")
    # Replicas are missed while a job runs; between two jobs one may be taken away.
    sql("SELECT pgbackfill.resume('long')")
    wait_until(lambda: status("long") == "running", "the end of the pause")
    standby.stop()
    wait_until(lambda: server.now(NAN_BY_NATURE) != [], "an unknown signal")

    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(60) == 1, "a job of this process failed"
    wait_until(lambda: server.now("absent(pgbackfill_build_info)") == [1.0], "the end of the series")

    # NaN is what a graph cannot show.
    expressions = {rule["expr"] for rule in rules()} | {rule["record"] for rule in rules() if "record" in rule}
    expressions |= set(dashboard_queries())
    found = {each: server.since(began, each) for each in expressions}
    assert {each for each, values in found.items() if not values} == set()
    unknown = {each for each, values in found.items() if all(map(math.isnan, values))}
    assert unknown == {NAN_BY_NATURE}
    for label, selector in variable_queries():
        parameters = {"match[]": selector, "start": began, "end": time.time()}
        assert server.get(f"/api/v1/label/{label}/values", **parameters) != [], (label, selector)
