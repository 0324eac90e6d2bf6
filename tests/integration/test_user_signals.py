"""Signals that users define: their own SQL, Prometheus queries; and Aurora's readers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.watching import until, watching

from pgbackfill.errors import UsageError
from pgbackfill.settings import load_settings

pytestmark = pytest.mark.newest

FAST = {"interval_s": 0.5}
QUEUE = "SELECT length, 'queue ' || name FROM queue ORDER BY length DESC LIMIT 1"


async def test_custom_sql_slows_and_holds_with_its_unit_and_detail(database: Any) -> None:
    connection = await database.connect()
    await connection.execute("CREATE TABLE queue AS SELECT 'mails' AS name, 3 AS length")
    signal = {"name": "mail_queue", "sql": QUEUE, "soft": 10, "hard": 100, "unit": " mails", **FAST}
    async with watching(database.dsn, custom_sql=[signal]) as daemon:
        assert (await daemon.known("mail_queue")).detail == "queue mails"
        await connection.execute("UPDATE queue SET length = 101")
        assert await daemon.held("mail_queue ") == "mail_queue 101 mails > 100 mails (queue mails)"
        await connection.execute("UPDATE queue SET length = 5")
        await until(lambda: daemon.hold() is None, "the queue is short")
        daemon.set(custom_sql=[])
        await until(lambda: daemon.signal("mail_queue") is None, "it is no longer asked for")


async def test_small_values_are_the_bad_ones_where_hard_is_below_soft(database: Any) -> None:
    signal = {
        "name": "disk_free",
        "sql": "SELECT 5 * 1073741824::bigint",
        "soft": 40 << 30,
        "hard": 10 << 30,
        "unit": "B",
    }
    async with watching(database.dsn, custom_sql=[signal]) as daemon:
        assert await daemon.held("disk_free ") == "disk_free 5GiB < 10GiB"


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT nothing", 'The query failed: column "nothing" does not exist'),
        ("SELECT NULL::int", "The query answers no number."),
        ("SELECT 'NaN'::float8", "The query answers no number."),
        ("SELECT 'many'", "The query answers a str; let it answer a number."),
        ("SELECT 1 WHERE false", "The query answers 0 rows; let it answer one row: a number, and a text if you like."),
        ("SELECT 1, 2, 3", "The query answers 3 columns; let it answer one row: a number, and a text if you like."),
        ("CREATE TABLE escaped ()", "The query failed: cannot execute CREATE TABLE in a read-only transaction"),
        ("SELECT 1; SELECT 2", "The query failed: cannot insert multiple commands into a prepared statement"),
        ("SELECT 1 FROM pg_sleep(30)", "The query failed: canceling statement due to statement timeout"),
    ],
)
async def test_custom_sql_that_answers_no_number_is_unknown_and_says_why(
    database: Any, sql: str, sentence: str
) -> None:
    signal = {"name": "mine", "sql": sql, "soft": 1, "hard": 2, "timeout_s": 0.3, **FAST}
    async with watching(database.dsn, custom_sql=[signal]) as daemon:
        shown = await daemon.noted("mine", sentence)
        assert (shown["value"], shown["level"]) == (None, "unknown")
        connection = await database.connect()
        assert await connection.fetchval("SELECT to_regclass('escaped') IS NULL")


async def test_a_slow_query_of_a_user_delays_no_other_signal(database: Any) -> None:
    signal = {"name": "slow", "sql": "SELECT 1 FROM pg_sleep(600)", "timeout_s": 60, **FAST}
    async with watching(database.dsn, custom_sql=[signal]) as daemon:
        await daemon.known("connections")
        connection = await database.connect()
        sleeping = "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '/* pgbackfill signal=slow */%'"
        await until(lambda: connection.fetchval(sleeping), "it is named in pg_stat_activity")
        beat = await connection.fetchval("SELECT heartbeat_at FROM pgbackfill.workers")
        later = "SELECT heartbeat_at > $1::timestamptz + interval '0.5 s' FROM pgbackfill.workers"
        await until(lambda: connection.fetchval(later, beat), "the heart beats on")
        assert await connection.fetchval(sleeping)


class Prometheus(ThreadingHTTPServer):
    """Answers instant queries as Prometheus does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data: Any = {"resultType": "vector", "result": []}
        self.status = 200
        self.body: bytes | None = None
        self.token = ""
        self.queries: list[str] = []
        self.paths: list[str] = []
        self.silent = threading.Event()
        self.silent.set()

    def vector(self, *samples: tuple[str, str]) -> None:
        """Samples by instance."""
        self.data = {
            "resultType": "vector",
            "result": [{"metric": {"__name__": "io", "instance": i}, "value": [1.5, v]} for i, v in samples],
        }


class _Handler(BaseHTTPRequestHandler):
    server: Prometheus

    def do_GET(self) -> None:
        self.server.silent.wait(60)
        parts = urlsplit(self.path)
        self.server.paths.append(parts.path)
        self.server.queries += parse_qs(parts.query).get("query", [])
        status, body = self.server.status, {"status": "success", "data": self.server.data}
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            status, body = 401, {"status": "error", "error": "who are you"}
        content = self.server.body if self.server.body is not None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Not into the output of the tests."""


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with Prometheus() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.silent.set()
        server.shutdown()
        thread.join()


def promql(server: Prometheus, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{server.server_port}"
    return {"name": "io_wait", "url": url, "query": "max(io)", "soft": 20, "hard": 50, "unit": "%", **FAST, **more}


async def test_promql_takes_the_worst_sample_and_names_it(database: Any, prometheus: Prometheus) -> None:
    prometheus.vector(("db-1", "3.5"), ("db-2", "12"))
    async with watching(database.dsn, promql=[promql(prometheus)]) as daemon:
        signal = await daemon.known("io_wait")
        assert (signal.value, signal.detail) == (12, "instance=db-2")
        assert prometheus.queries[0] == "max(io)"
        assert prometheus.paths[0] == "/api/v1/query"
        prometheus.vector(("db-1", "51"), ("db-2", "12"))
        assert await daemon.held("io_wait ") == "io_wait 51% > 50% (instance=db-1)"
        prometheus.data = {"resultType": "scalar", "result": [1.5, "4"]}
        await until(lambda: daemon.hold() is None, "the hold ends")
        # Of small values the smallest is the worst.
        prometheus.vector(("db-1", "40"), ("db-2", "4"))
        daemon.set(promql=[promql(prometheus, soft=40, hard=10)])
        assert await daemon.held("io_wait 4% <") == "io_wait 4% < 10% (instance=db-2)"


@pytest.mark.parametrize(
    ("status", "answer", "sentence"),
    [
        (200, {"status": "success", "data": {"resultType": "vector", "result": []}}, "The query answers no sample."),
        (200, {"status": "success", "data": {"resultType": "scalar", "result": [1, "NaN"]}}, "The query answers NaN."),
        (
            200,
            {"status": "success", "data": {"resultType": "matrix", "result": []}},
            "The query answers a matrix; let it answer an instant vector.",
        ),
        (400, {"status": "error", "error": "parse error: unexpected )"}, "answers 400: parse error: unexpected )."),
        (200, {"status": "success", "data": {"resultType": "vector", "result": [{}]}}, "in a form that Prometheus"),
        (200, {"status": "success"}, "in a form that Prometheus"),
        (502, None, "answers 502 and no JSON."),
    ],
)
async def test_promql_without_a_number_is_unknown_and_says_why(
    database: Any, prometheus: Prometheus, status: int, answer: Any, sentence: str
) -> None:
    prometheus.status = status
    prometheus.body = b"<html>" if answer is None else json.dumps(answer).encode()
    async with watching(database.dsn, promql=[promql(prometheus)]) as daemon:
        shown = await daemon.noted("io_wait", sentence)
        assert (shown["value"], shown["level"]) == (None, "unknown")


async def test_promql_that_does_not_answer_is_unknown_and_then_holds(database: Any, prometheus: Prometheus) -> None:
    prometheus.silent.clear()
    async with watching(database.dsn, promql=[promql(prometheus, timeout_s=0.2)]) as daemon:
        await daemon.noted("io_wait", "did not answer within 0.2 s.")
        await daemon.held("io_wait unknown for ")
        prometheus.vector(("db-1", "1"))
        prometheus.silent.set()
        await until(lambda: daemon.hold() is None, "it answers")


async def test_secrets_of_promql_are_never_shown(
    database: Any, prometheus: Prometheus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prometheus.token = "token-of-the-day"
    token = tmp_path / "token"
    token.write_text("wrong-token-here\n")
    port = prometheus.server_port
    url = f"http://someone:hidden-password@127.0.0.1:{port}/?api_key=hidden-key"
    async with watching(database.dsn, promql=[promql(prometheus, url=url, token_file=token)]) as daemon:
        shown = await daemon.noted("io_wait", f"http://127.0.0.1:{port} answers 401: who are you.")
        prometheus.vector(("db-1", "1"))
        token.write_text("token-of-the-day\n")  # read again at each poll
        await daemon.known("io_wait")
        everything = f"{shown}{daemon.context.settings!r}{capsys.readouterr()}"
        for secret in ("hidden", "wrong-token-here", "token-of-the-day"):
            assert secret not in everything


async def test_readers_of_aurora_are_replicas(database: Any) -> None:
    connection = await database.connect()
    await connection.execute("""
        CREATE TABLE readers (server_id text, session_id text, replica_lag_in_msec float8);
        INSERT INTO readers VALUES
            ('writer', 'MASTER_SESSION_ID', NULL), ('reader-1', 'abc', 17), ('reader-2', 'def', 9);
        CREATE FUNCTION aurora_replica_status(OUT server_id text, OUT session_id text, OUT replica_lag_in_msec float8)
            RETURNS SETOF record LANGUAGE sql AS 'SELECT * FROM readers';
    """)
    async with watching(database.dsn) as daemon:
        await until(lambda: daemon.replicas() == {"reader-1": 0.017, "reader-2": 0.009}, "both readers")
        await connection.execute("UPDATE readers SET replica_lag_in_msec = 6200 WHERE server_id = 'reader-2'")
        assert await daemon.held("replica_lag ") == "replica_lag 6.2s > 5s (reader-2)"
        await connection.execute("DELETE FROM readers WHERE server_id = 'reader-2'")
        await daemon.held("replica_lag unknown for ")


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "PGBACKFILL_SIGNALS__ARCHIVE_BACKLOG__HARD",
            "-1",
            "PGBACKFILL_SIGNALS__ARCHIVE_BACKLOG__HARD must be a number (segments) from 0 to 1000000000.0, not '-1'.",
        ),
        (
            "PGBACKFILL_SIGNALS__ARCHIVE_BACKLOG__SOFT",
            "43",
            "PGBACKFILL_SIGNALS__ARCHIVE_BACKLOG soft (43) must not be above hard (42).",
        ),
        (
            "PGBACKFILL_SIGNALS__ARCHIVE_BAKLOG__HARD",
            "1",
            "PGBACKFILL_SIGNALS__ARCHIVE_BAKLOG__HARD is not a setting; "
            "did you mean PGBACKFILL_SIGNALS__ARCHIVE_BACKLOG__HARD.",
        ),
        (
            "PGBACKFILL_CUSTOM_SQL",
            '[{"name": "replica_lag", "sql": "SELECT 1"}]',
            "PGBACKFILL_CUSTOM_SQL name 'replica_lag' is the name of a built-in signal.",
        ),
        (
            "PGBACKFILL_PROMQL",
            '[{"name": "io", "url": "ftp://x", "query": "io"}]',
            "PGBACKFILL_PROMQL url of signal io must begin with http:// or https:// and name a host.",
        ),
    ],
)
def test_wrong_settings_get_a_sentence(
    variable: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert str(caught.value) == sentence


def test_limits_come_from_the_environment_and_may_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBACKFILL_SIGNALS__CONNECTIONS__HARD", "none")
    monkeypatch.setenv("PGBACKFILL_SIGNALS__CONNECTIONS__SOFT", "70")
    monkeypatch.setenv("PGBACKFILL_SIGNALS__DEAD_TUPLES__ENABLED", "false")
    signals = load_settings().signals
    assert (signals.connections.soft, signals.connections.hard, signals.dead_tuples.enabled) == (70, None, False)
