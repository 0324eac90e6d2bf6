"""Several jobs on one daemon, live retuning, what a job waits for, and rows that are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest


async def order_of_start(site: Any) -> list[str]:
    rows = await site.connection.fetch(
        "SELECT name FROM pgbackfill.jobs WHERE started_at IS NOT NULL ORDER BY started_at"
    )
    return [row["name"] for row in rows]


async def test_two_jobs_run_at_once_and_the_third_waits(site: Any) -> None:
    for name in ("a", "b", "c"):
        await site.slow_job(name, name)
    await site.running(max_concurrent_jobs=2)
    await site.chunks("a")
    await site.chunks("b")
    assert (await site.progress("c"))["status"] == "queued"
    await site.hurry("a")
    await site.reaches("a", "succeeded")
    await site.chunks("c")
    assert (await site.progress("b"))["status"] == "running"
    for name in ("b", "c"):
        await site.hurry(name)
        await site.reaches(name, "succeeded")
    for name in ("a", "b", "c"):
        await site.changed_once(name)


async def test_one_job_at_a_time_on_a_table_however_it_is_reached(site: Any) -> None:
    await site.connection.execute(
        "CREATE TABLE visits (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);"
        "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (10000);"
        "CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM (10000) TO (20001);"
        "INSERT INTO visits SELECT i FROM generate_series(1, 20000) AS i; ANALYZE visits"
    )
    await site.enqueue("whole", "visits", options={"chunk_max_rows": 10, "max_rows_per_s": 300})
    await site.enqueue("leaf", "visits_2", where_clause="n = 1", set_clause="n = 2")
    await site.table("orders", 10)
    await site.enqueue("other", "orders")
    await site.running()
    await site.reaches("other", "succeeded")
    await site.true("SELECT sum(chunk_no) > 2 FROM pgbackfill.ranges")
    assert (await site.progress("leaf"))["status"] == "queued"
    await site.hurry("whole")
    await site.reaches("whole", "succeeded")
    leaf = await site.reaches("leaf", "succeeded")
    assert leaf["rows_changed"] == 10_001, "every row had been changed by then"


async def test_priority_decides_and_the_future_waits(site: Any) -> None:
    for name, priority in (("low", -1), ("middle", 0), ("high", 5)):
        await site.table(name, 10)
        await site.enqueue(name, name, priority=priority)
    await site.table("future", 10)
    await site.enqueue("future", "future", priority=9, run_after=datetime.now(UTC) + timedelta(hours=1))
    await site.running(max_concurrent_jobs=1)
    await site.reaches("low", "succeeded")
    assert await order_of_start(site) == ["high", "middle", "low"]
    assert (await site.progress("future"))["status"] == "queued"
    await site.connection.execute("UPDATE pgbackfill.jobs SET run_after = now() WHERE name = 'future'")
    await site.reaches("future", "succeeded")


async def test_a_failing_job_disturbs_no_other_and_can_be_retried(site: Any) -> None:
    await site.slow_job("good", "users")
    await site.table("orders", 1000)
    await site.connection.execute("CREATE FUNCTION cost(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    await site.enqueue("bad", "orders", set_clause="n = n + cost(t.id)")
    await site.connection.execute("DROP FUNCTION cost(bigint)")
    daemon = await site.running()
    failed = await site.reaches("bad", "failed")
    assert failed["rows_changed"] == 0
    error = (await daemon.logged("job failed", job="bad"))["error"]
    assert error == await site.connection.fetchval("SELECT error FROM pgbackfill.jobs WHERE name = 'bad'")
    assert "cost(bigint) does not exist" in error
    assert "UPDATE" in error
    await site.chunks("good", (await site.range("good")).get("chunk_no", 0))
    await site.connection.execute("CREATE FUNCTION cost(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert (await site.cli("retry", "bad")).returncode == 0
    await site.reaches("bad", "succeeded")
    await site.changed_once("orders")
    assert (await site.progress("good"))["status"] == "running"


async def test_options_act_on_a_running_job(site: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running()
    await site.chunks("long")
    assert (await site.range("long"))["chunk_rows"] <= 10
    await site.connection.execute(
        """UPDATE pgbackfill.jobs SET options = '{"chunk_min_rows": 33, "chunk_max_rows": 33, "max_rows_per_s": 990}'"""
    )
    await site.true("SELECT chunk_rows = 33 FROM pgbackfill.ranges")
    await daemon.logged("options changed", job="long")
    with pytest.raises(asyncpg.PostgresError, match="options"):
        await site.connection.execute("""UPDATE pgbackfill.jobs SET options = '{"chunk_max_rows": 0}'""")
    await site.hurry("long")
    await site.reaches("long", "succeeded")
    await site.changed_once("users")


async def test_the_upper_bound_waits_for_open_transactions_and_says_for_which(site: Any) -> None:
    await site.table("users", 100)
    writer = await site.database.connect()
    async with writer.transaction():
        await writer.execute("INSERT INTO users (id) VALUES (-5)")
        await site.enqueue("bounded", "users")
        daemon = await site.running(http__enabled="true", http__port=0)
        held = await site.held("bounded", "old_transaction")
        assert f"pid {writer.get_server_pid()}" in held["hold_reason"]
        assert held["hold_since"] is not None
        assert (await daemon.logged("held", job="bounded"))["reason"].startswith("old_transaction pid")
        assert (await daemon.metrics())['pgbackfill_hold{reason="old_transaction"}'] == 1
        # Nobody else has to wait for it.
        await site.true("SELECT count(*) = 0 FROM pgbackfill.ranges")
    done = await site.reaches("bounded", "succeeded")
    assert (done["rows_changed"], done["hold_reason"]) == (101, None)
    await site.changed_once("users")
    assert len(daemon.events("held")) == len(daemon.events("hold ended")) == 1
    assert (await daemon.metrics())['pgbackfill_hold{reason="old_transaction"}'] == 0


async def test_a_locked_table_holds_its_job_alone(site: Any) -> None:
    await site.slow_job("good", "users")
    await site.table("orders", 100)
    await site.enqueue("blocked", "orders", desired_state="pause")
    daemon = await site.running()
    await site.chunks("good")
    writer, migration = await site.database.connect(), await site.database.connect()
    async with migration.transaction():
        # The writer keeps the job from its bounds until the younger migration has the lock.
        async with writer.transaction():
            await writer.execute("SELECT pg_current_xact_id()")
            await site.want("blocked", "run")
            await site.held("blocked", "old_transaction")
            await migration.execute("LOCK TABLE orders")
        held = await site.held("blocked", "table_locked ")
        assert held["hold_since"] is not None
        await daemon.logged("held", job="blocked", times=2)
        await site.chunks("good", (await site.range("good"))["chunk_no"])
    await site.reaches("blocked", "succeeded")
    await site.changed_once("orders")


MALFORMED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("table_name", {"table_name": "nowhere"}),
    ("set_clause", {"set_clause": "n = n +"}),
    ("set_clause", {"set_clause": "nothing = 1"}),
    ("set_clause", {"set_clause": "id = id + 1"}),
    ("set_clause", {"set_clause": "n = 1 WHERE true --"}),
    ("set_clause", {"set_clause": "n = 1; DROP TABLE users"}),
    ("where_clause", {"where_clause": "true) OR (true"}),
    ("where_clause", {"where_clause": "n"}),
    ("operation", {"operation": "truncate"}),
    ("options", {"options": {"chunk_max_row": 5}}),
    ("options", {"options": {"parallelism": 65}}),
    ("key_columns", {"key_columns": ["note"]}),
    ("name", {"name": "Not A Name"}),
    ("desired_state", {"desired_state": "stop"}),
)


async def test_malformed_rows_are_refused_while_the_daemon_works(site: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running()
    await site.chunks("long")
    for column, wrong in MALFORMED:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await site.enqueue(**({"name": "wrong", "table": "users"} | wrong))
        assert refused.value.args[0].startswith(f"{column}: "), refused.value
        await site.chunks("long", (await site.range("long"))["chunk_no"])
    await site.hurry("long")
    await site.reaches("long", "succeeded")
    await site.changed_once("users")
    assert await site.connection.fetchval("SELECT count(*) FROM pgbackfill.jobs") == 1
    assert not [entry for level in ("warning", "error") for entry in daemon.entries(level=level)]
