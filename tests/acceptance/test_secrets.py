"""No secret that a daemon was given reaches its log, its metrics, its answers, its tables or the command line."""

from __future__ import annotations

import json
import re
from typing import Any

from support.receiver import SECRET_PATH

SECRETS = {
    "dsn": "aaaa-dsn-secret",
    "work_dsn": "bbbb-work-secret",
    "replica": "cccc-replica-secret",
    "direct": "dddd-direct-secret",
    "token": "eeee-http-secret",
    "promql": "ffff-promql-secret",
    "row": "gggg-row-secret",
    "webhook": SECRET_PATH.rpartition("/")[2],
}
PATHS = ("", "/jobs", "/jobs/fails", "/jobs/poisoned", "/jobs/fails/history", "/signals")


def _with_password(dsn: str, password: str, *, port: int | None = None) -> str:
    login, _, place = dsn.removeprefix("postgresql://").partition("@")
    if port is not None:
        place = re.sub(r":\d+/", f":{port}/", place)
    return f"postgresql://{login.partition(':')[0]}:{password}@{place}"


async def test_no_secret_is_shown_anywhere(site: Any, until: Any) -> None:
    """Nobody listens where replica, direct connection, Prometheus and webhook should be, so all are talked about."""
    own = site.database.dsn
    await site.table("users", 30)
    await site.connection.execute(
        f"CREATE TABLE notes (id int PRIMARY KEY, n int, text text DEFAULT '{SECRETS['row']}', CHECK (n <> 7));"
        "INSERT INTO notes SELECT i, i + 1 FROM generate_series(1, 5) AS i"
    )
    await site.enqueue("fails", "users", set_clause="n = n + 1 / (random() * 0)::int", options={"max_quarantined": 0})
    await site.enqueue("poisoned", "notes", set_clause="n = n + 1")
    await site.slow_job("long", "orders")
    disk = {"name": "disk", "url": f"http://me:{SECRETS['promql']}@127.0.0.1:1", "query": "up", "soft": 1}
    settings = {
        "dsn": _with_password(own, SECRETS["dsn"]),
        "work_dsn": _with_password(own, SECRETS["work_dsn"]),
        "direct_dsn": _with_password(own, SECRETS["direct"], port=1),
        "replica_dsns": _with_password(own, SECRETS["replica"], port=1),
        "http__token": SECRETS["token"],
        "http__enabled": "true",
        "http__port": 0,
        "webhook__url": f"http://127.0.0.1:1{SECRET_PATH}",
        "promql": json.dumps([disk | {"interval_s": 0.5}]),
        "log__level": "debug",
    }
    daemon = site.daemon(**settings)
    await daemon.ready()
    await site.reaches("fails", "failed")
    await site.reaches("poisoned", "succeeded")
    await site.chunks("long")
    # A chunk loses its connection, and a webhook that nobody takes is spoken of.
    await site.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'pgbackfill/%'"
    )
    await daemon.logged("held", job="long")
    await until(lambda: _spoken(daemon, "webhook"), "a webhook that cannot be sent")
    shown = {"log": daemon.text, "metrics": (await daemon.get("/metrics"))[1]}
    for path in PATHS:
        shown[path] = (await daemon.get(f"/api/v1{path}"))[1]
    for header in (
        {},
        {"authorization": f"Bearer {SECRETS['token']}x"},
        {"authorization": f"Basic {SECRETS['token']}"},
    ):
        shown[f"refusal {header}"] = (await daemon.post("/api/v1/pause", **header))[1]
    for table in ("events", "quarantine", "workers", "notifications", "progress"):
        shown[table] = str(await site.connection.fetch(f"SELECT x::text FROM pgbackfill.{table} AS x"))
    shown["errors of jobs"] = str(await site.connection.fetch("SELECT error, wait_reason FROM pgbackfill.jobs"))
    commands = ("status --json", "run --drain")
    for command in commands:
        told = await site.cli(*command.split(), **(settings | {"dsn": _with_password(own, SECRETS["dsn"], port=1)}))
        shown[command] = told.stdout + told.stderr
    assert len(daemon.entries(level="warning")) > 3, "else there was little to be said"
    assert {
        (where, name) for where, text in shown.items() for name, secret in SECRETS.items() if secret in text
    } == set()
    # Tokens of claims are 16 random bytes; nothing that long is ever shown.
    assert [where for where, text in shown.items() if re.search(r"(?<![\w-])[0-9a-f]{32}(?![\w-])", text)] == []


async def _spoken(daemon: Any, word: str) -> bool:
    return any(word in str(entry) for entry in daemon.entries(level="warning"))
