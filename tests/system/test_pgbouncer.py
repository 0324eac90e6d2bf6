"""PgBouncer in transaction mode, with one server connection that every client and every task of the daemon shares.

What a session leaves on that connection is what the next client finds, so one look at it afterwards tells everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ENQUEUE = """
INSERT INTO pgbackfill.jobs (name, table_name, set_clause, where_clause, options)
VALUES ('users-email-lower', 'users', 'email_lower = lower(email), visits = visits + 1', 'email_lower IS NULL', '%s')
"""
FAST = "{}"
SLOW = '{"chunk_max_rows": 100, "max_rows_per_s": 2000}'
"""Ten seconds for the whole table: time enough to pause in the middle."""

STATUS = "SELECT status FROM pgbackfill.progress"
CHANGED = "SELECT count(*) FROM users WHERE visits = 1 AND email_lower = lower(email)"
BEGUN = "SELECT count(*) FROM pgbackfill.progress WHERE rows_scanned > 0"

# What a session can leave on a server connection. PgBouncer itself keeps these two apart for each client.
SETTINGS = """
SELECT name, setting FROM pg_settings
WHERE source = 'session' AND name NOT IN ('application_name', 'client_encoding')
"""
LEFT_BEHIND = {
    "prepared statements": "SELECT name, statement FROM pg_prepared_statements",
    "LISTEN": "SELECT pg_listening_channels()",
    "temporary objects": "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
    "cursors": "SELECT name FROM pg_cursors WHERE name <> ''",
    "advisory locks": "SELECT objid FROM pg_locks WHERE locktype = 'advisory'",
}


def test_a_job_enqueued_and_read_by_psql_through_the_pool_changes_every_row_once(
    shop: Any, start: Callable[..., Any]
) -> None:
    shop.pooled(ENQUEUE % FAST)

    start(shop.pooled.dsn, "--drain").drained()

    assert shop.pooled("SELECT status, percent, rows_scanned, rows_changed FROM pgbackfill.progress") == [
        ("succeeded", "100", "20000", "20000")
    ]
    assert shop.direct.value(CHANGED) == "20000"


def test_pause_and_resume_take_effect_by_polling(
    shop: Any, start: Callable[..., Any], wait_until: Callable[[Callable[[], bool], str], None]
) -> None:
    shop.pooled(ENQUEUE % SLOW)
    daemon = start(shop.pooled.dsn)
    wait_until(lambda: shop.pooled.value(BEGUN) == "1", "the first chunk")

    shop.pooled("UPDATE pgbackfill.jobs SET desired_state = 'pause'")
    wait_until(lambda: shop.pooled.value(STATUS) == "paused", "the pause")
    # Paused means that no lease is held, so nothing can be changed any more.
    assert 0 < int(shop.direct.value(CHANGED)) < 20_000

    shop.pooled("UPDATE pgbackfill.jobs SET options = '{}', desired_state = 'run'")
    wait_until(lambda: shop.pooled.value(STATUS) == "succeeded", "the end")
    assert shop.direct.value(CHANGED) == "20000"
    daemon.stopped()


def test_with_a_way_past_the_pool_a_pause_is_heard_at_once(
    shop: Any, start: Callable[..., Any], wait_until: Callable[[Callable[[], bool], str], None]
) -> None:
    # A poll in a minute would be too late for this test.
    daemon = start(shop.pooled.dsn, PGBACKFILL_DIRECT_DSN=shop.direct.dsn, PGBACKFILL_POLL_S="60")
    wait_until(lambda: daemon.says("ready"), "the daemon")

    shop.pooled(ENQUEUE % SLOW)
    wait_until(lambda: shop.pooled.value(BEGUN) == "1", "the first chunk")
    shop.pooled("SELECT pgbackfill.pause('users-email-lower')")
    wait_until(lambda: shop.pooled.value(STATUS) == "paused", "the pause")
    daemon.stopped()


@pytest.fixture
def clean_pool(shop: Any) -> Any:
    """The settings of the one server connection before the daemon comes."""
    return shop.pooled(SETTINGS)


@pytest.mark.parametrize("pooler", ["auto", "pgbouncer"])
def test_the_daemon_leaves_nothing_behind_for_the_next_client_of_the_pool(
    shop: Any, start: Callable[..., Any], clean_pool: Any, pooler: str
) -> None:
    backend = shop.pooled.value("SELECT pg_backend_pid()")
    shop.pooled(ENQUEUE % FAST)
    start(shop.pooled.dsn, "--drain", PGBACKFILL_POOLER=pooler).drained()

    assert shop.pooled.value("SELECT pg_backend_pid()") == backend, "the daemon worked on this very connection"
    assert shop.pooled(SETTINGS) == clean_pool
    assert {what: found for what, query in LEFT_BEHIND.items() if (found := shop.pooled(query))} == {}


def test_whoever_holds_a_row_is_named_through_the_pool_as_well(
    wide_shop: Any, start: Callable[..., Any], wait_until: Callable[[Callable[[], bool], str], None]
) -> None:
    """The process id that the pooler gives out is its own; the chunk's backend knows its real one."""
    shop = wide_shop
    shop.pooled(ENQUEUE % SLOW)
    daemon = start(shop.pooled.dsn)
    wait_until(lambda: shop.pooled.value(BEGUN) == "1", "the first chunk")
    with shop.direct.open_transaction("SELECT pg_backend_pid() FROM users WHERE id = 19999 FOR UPDATE"):
        shop.pooled("UPDATE pgbackfill.jobs SET options = '{}'")
        holder = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%'"
        pid = shop.direct.value(holder)
        reason = "SELECT hold_reason FROM pgbackfill.progress"
        wait_until(lambda: shop.direct.value(reason) == f"row_locked by pid {pid}", "the name of the holder")
        shop.direct(f"SELECT pg_terminate_backend({pid})")
    wait_until(lambda: shop.direct.value(STATUS) == "succeeded", "the end")
    assert shop.direct.value(CHANGED) == "20000"
    daemon.stopped()


def test_a_chunk_gives_way_through_the_pool_as_well(
    wide_shop: Any, start: Callable[..., Any], wait_until: Callable[[Callable[[], bool], str], None]
) -> None:
    shop = wide_shop
    shop.direct(
        "CREATE TABLE in_a_hurry ()",
        "CREATE FUNCTION slowly() RETURNS int LANGUAGE sql AS"
        " 'SELECT 1 FROM (SELECT) AS one LEFT JOIN (SELECT pg_sleep(1) WHERE NOT EXISTS (SELECT FROM in_a_hurry)) AS s"
        " ON true'",
    )
    shop.pooled(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, options) VALUES ('slow', 'users',"
        " 'visits = visits + slowly()', '{\"statement_timeout_ms\": 60000}')"
    )
    daemon = start(shop.pooled.dsn)
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    wait_until(lambda: shop.direct.value(sleeping) == "1", "a chunk at work")
    shop.direct("UPDATE users SET email = 'new' WHERE id = 1")  # else it would wait for eight minutes
    assert shop.direct.value("SELECT count(*) FROM users WHERE visits > 0") == "0"
    shop.direct("INSERT INTO in_a_hurry DEFAULT VALUES")
    wait_until(lambda: shop.direct.value(STATUS) == "succeeded", "the end")
    assert shop.direct.value("SELECT count(*) FROM users WHERE visits = 1") == "20000"
    daemon.stopped()
