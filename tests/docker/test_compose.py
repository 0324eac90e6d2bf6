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

from .conftest import LOCKED

DOCS = Path(__file__).parents[2] / "docs"
GRACE_S = 60


def documented_insert() -> str:
    """The statement that the tutorial tells people to run, after one with a mistake in it."""
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    _, statement = re.findall(r"^(INSERT INTO pgbackfill.jobs .+?;)$", page, re.DOTALL | re.MULTILINE)
    return str(statement)


def documented_metrics() -> set[str]:
    """The names by which Prometheus stores them."""
    page = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    found = set()
    for name, kind in re.findall(r"^\| `(pgbackfill_\w+)` \| (\w+) \|", page, re.MULTILINE):
        found |= {f"{name}_{each}" for each in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return found


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


def test_prometheus_has_every_documented_metric(project: Any) -> None:
    prometheus = project.address("prometheus", 9090)

    def stored() -> set[str]:
        return set(json.loads(get(f"{prometheus}/api/v1/label/__name__/values"))["data"])

    # A row that cannot be changed is tried again and set aside; a replica that stands still is a hold.
    project.psql("postgres", "ALTER TABLE orders ADD CONSTRAINT odd CHECK (id <> 4711 OR amount = 0)")
    project("exec", "-T", "standby", "psql", "-U", "postgres", "-qc", "SELECT pg_wal_replay_pause()")
    project.psql(
        "shop",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, to_key, options)"
        """ VALUES ('amount', 'orders', 'amount = 1', '{50000}', '{"max_rows_per_s": 1000, "lag_hard_s": 1}')""",
    )
    project.wait(lambda: query(prometheus, 'pgbackfill_hold{reason="replica_lag"} == 1') != [], "a hold")
    project("exec", "-T", "standby", "psql", "-U", "postgres", "-qc", "SELECT pg_wal_replay_resume()")
    project.wait(lambda: documented_metrics() <= stored(), "every documented metric")
    assert {name for name in stored() if name.startswith("pgbackfill_")} == documented_metrics()
    project.psql("shop", "SELECT pgbackfill.cancel('amount')")
    project.psql("postgres", "ALTER TABLE orders DROP CONSTRAINT odd")


def test_the_locked_image_works_on_a_job(project: Any, docker: Any, image: str) -> None:
    project("stop", "pgbackfill")
    project.psql(
        "shop",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, to_key)"
        " VALUES ('locked', 'orders', 'amount = 2', '{100}')",
    )
    secrets = DOCS.parent / "deploy" / "compose" / "secrets"
    done = docker(
        "run", "--rm", *LOCKED, "--network", f"{project.name}_default", "--volume", f"{secrets}:/run/secrets:ro",
        "--env", "PGBACKFILL_DSN=postgresql://postgres@primary/shop",
        "--env", "PGBACKFILL_PASSWORD_FILE=/run/secrets/postgres", image, "run", "--drain",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.psql("postgres", "SELECT rows_changed FROM pgbackfill.progress WHERE name = 'locked'") == "100"
    project("start", "pgbackfill")
    project("up", "--detach", "--wait", "pgbackfill")


def test_the_load_runs_beside_it(project: Any) -> None:
    project("--profile", "load", "up", "--detach", "load")
    busy = "SELECT count(*) FROM orders WHERE amount > 0"
    project.wait(lambda: int(project.psql("postgres", busy)) > 0, "the load's first commits")


def test_pausing_over_http_needs_the_token(project: Any) -> None:
    address = project.address("pgbackfill", 9188)
    token = (Path(__file__).parents[2] / "deploy/compose/secrets/http_token").read_text(encoding="utf-8").strip()
    assert post(f"{address}/api/v1/resume", {}) == 401
    assert post(f"{address}/api/v1/resume", {"Authorization": f"Bearer {token}"}) == 200
