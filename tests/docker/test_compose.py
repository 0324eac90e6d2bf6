"""docker-compose.yml from nothing: up, one INSERT, a moving graph, an orderly stop."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

PAGE = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text(encoding="utf-8")
GRACE_S = 60


def documented_insert() -> str:
    """The statement that the page tells people to run."""
    (statement,) = re.findall(r"psql -U shop shop <<'SQL'\n(.+?)\nSQL\n", PAGE, re.DOTALL)
    return str(statement)


def get(url: str) -> str:
    with urllib.request.urlopen(f"http://{url}", timeout=30) as answer:
        return str(answer.read().decode())


def post(url: str, headers: dict[str, str]) -> int:
    """The status."""
    host, _, path = url.partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", f"/{path}", b"{}", {"Content-Type": "application/json", **headers})
        return connection.getresponse().status


def query(prometheus: str, expression: str) -> list[float]:
    answer = json.loads(get(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
    return [float(sample["value"][1]) for sample in answer["data"]["result"]]


def test_one_insert_moves_the_graph_and_a_stop_loses_nothing(project: Any, docker: Any) -> None:
    prometheus = project.address("prometheus", 9090)
    project.wait(lambda: query(prometheus, "pgbackfill_rows_changed_total") == [0.0], "the first scrape")
    assert query(prometheus, 'pgbackfill_replica_lag_seconds{replica="standby"}') != []

    project.psql("shop", documented_insert())
    project.wait(lambda: sum(query(prometheus, "rate(pgbackfill_rows_changed_total[30s])")) > 0, "a moving graph")

    families = text_string_to_metric_families(get(project.address("pgbackfill", 9188) + "/metrics"))
    exposed = {sample.name for family in families for sample in family.samples}
    stored = json.loads(get(f"{prometheus}/api/v1/label/__name__/values"))["data"]
    assert {name for name in exposed if name.startswith("pgbackfill_")} <= set(stored)

    began = time.monotonic()
    project("stop", "pgbackfill")
    assert time.monotonic() - began < GRACE_S, "a daemon that is killed has not finished its chunk"
    assert '"event": "stopped"' in project("logs", "pgbackfill")
    assert "(0)" in project("ps", "--all", "pgbackfill")
    done = int(project.psql("postgres", "SELECT count(*) FROM orders WHERE email_lower IS NOT NULL"))
    assert done == int(project.psql("postgres", "SELECT rows_changed FROM pgbackfill.progress"))

    project.psql("shop", "UPDATE pgbackfill.jobs SET options = '{}'")
    project("start", "pgbackfill")
    status = "SELECT status FROM pgbackfill.progress"
    project.wait(lambda: project.psql("postgres", status) == "succeeded", "the end of the job")
    assert (
        project.psql("postgres", "SELECT count(*) FROM orders WHERE email_lower IS DISTINCT FROM lower(email)") == "0"
    )
    assert project.psql("postgres", "SELECT rows_changed FROM pgbackfill.progress") == "1000000"


def test_the_load_runs_beside_it(project: Any) -> None:
    project("--profile", "load", "up", "--detach", "load")
    busy = "SELECT count(*) FROM orders WHERE amount > 0"
    project.wait(lambda: int(project.psql("postgres", busy)) > 0, "the load's first commits")


def test_pausing_over_http_needs_the_token(project: Any) -> None:
    address = project.address("pgbackfill", 9188)
    token = (Path(__file__).parents[2] / "deploy/compose/secrets/http_token").read_text(encoding="utf-8").strip()
    assert post(f"{address}/api/v1/resume", {}) == 401
    assert post(f"{address}/api/v1/resume", {"Authorization": f"Bearer {token}"}) == 200
