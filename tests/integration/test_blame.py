"""Who is to blame for an error: a row, the job, or whoever stands in the way."""

from __future__ import annotations

from typing import Any

import pytest
from support.field import Field, eventually

from pgbackfill.worker import breaker

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, divisor int NOT NULL DEFAULT 1)",
    "INSERT INTO t1 SELECT generate_series(1, 200)",
)
COUNTS = "SELECT n, count(*) FROM t1 GROUP BY 1 ORDER BY 1"


@pytest.mark.newest
async def test_a_setting_that_the_server_refuses_fails_the_job_and_blames_no_row(database: Any) -> None:
    """Class 22 like a row that cannot be changed, but raised before any row was looked at."""
    field = await Field.open(database, *TABLE, "CREATE TEXT SEARCH CONFIGURATION own (COPY = simple)")
    await field.enqueue(table_name="t1", session_settings={"default_text_search_config": "public.own"})
    await field.execute("DROP TEXT SEARCH CONFIGURATION own")
    assert await field.drain() == 1
    error = await field.error()
    assert error is not None
    assert error.startswith('invalid value for parameter "default_text_search_config": "public.own" (SQLSTATE 22023)')
    assert await field.value("SELECT count(*) FROM pgbackfill.quarantine") == 0
    assert await field.rows(COUNTS) == [(0, 200)]


@pytest.mark.newest
async def test_an_expression_that_no_plan_can_hold_fails_the_job(database: Any) -> None:
    """The planner folds it: the same error for every row, and none of them is to blame."""
    field = await Field.open(database, *TABLE, "CREATE FUNCTION one() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'")
    await field.enqueue(table_name="t1", set_clause="n = n + one()")
    await field.execute("CREATE OR REPLACE FUNCTION one() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1 / 0'")
    assert await field.drain() == 1
    assert "division by zero (SQLSTATE 22012)" in (await field.error() or "")
    assert await field.value("SELECT count(*) FROM pgbackfill.quarantine") == 0


@pytest.mark.newest
async def test_a_lock_does_not_choose_the_slower_form(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(table_name="t1")
    other = await database.connect()
    async with field.daemon():
        async with other.transaction():
            await other.execute("LOCK TABLE t1 IN SHARE MODE")  # readers pass, so preparing does
            reason = await eventually(lambda: field.value("SELECT hold_reason FROM pgbackfill.progress"))
            assert reason.startswith("table_locked canceling statement due to lock timeout (55P03)"), reason
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows(COUNTS) == [(1, 200)]


@pytest.mark.newest
async def test_many_rows_in_a_row_that_cannot_be_changed_pause_the_job(database: Any) -> None:
    field = await Field.open(database, *TABLE, "UPDATE t1 SET divisor = 0 WHERE id > 20")
    await field.enqueue(table_name="t1", set_clause="n = n + 1 / divisor")
    assert await field.drain() == 0
    paused = await field.progress()
    assert (paused["status"], paused["desired_state"], paused["rows_quarantined"]) == ("paused", "pause", 25)
    said = "circuit_breaker 25 rows in a row could not be changed, the last: division by zero (22012)"
    assert paused["hold_reason"] == said
    assert await field.events("circuit_breaker") == [{"reason": said}]
    await field.execute("UPDATE t1 SET divisor = 1")
    await field.execute("SELECT pgbackfill.resume('job')")
    assert (await field.progress())["hold_reason"] is None
    assert await field.drain() == 0
    assert (await field.succeeded())["rows_changed"] == 175


@pytest.mark.newest
async def test_short_ranges_hide_no_row_from_the_circuit_breaker(database: Any) -> None:
    """No range has as many bad rows as pause a job; one after the other they have."""
    table = TABLE[0] + " PARTITION BY RANGE (id)"
    leaves = [
        f"CREATE TABLE t1_{i} PARTITION OF t1 FOR VALUES FROM ({20 * i + 1}) TO ({20 * i + 21})" for i in range(10)
    ]
    field = await Field.open(database, table, *leaves, TABLE[1], "UPDATE t1 SET divisor = 0")
    await field.enqueue(table_name="t1", set_clause="n = n + 1 / divisor")
    assert await field.drain() == 0
    paused = await field.progress()
    assert (paused["status"], paused["rows_quarantined"]) == ("paused", 25)
    assert paused["hold_reason"].startswith("circuit_breaker 25 rows in a row could not be changed")


@pytest.mark.newest
async def test_who_accepts_many_bad_rows_expects_clusters_of_them(database: Any) -> None:
    field = await Field.open(database, *TABLE, "UPDATE t1 SET divisor = 0 WHERE id BETWEEN 20 AND 69")
    await field.enqueue(table_name="t1", set_clause="n = n + 1 / divisor", options={"max_quarantined": 1000})
    assert await field.drain() == 0
    assert (await field.succeeded())["rows_quarantined"] == 50


@pytest.mark.newest
async def test_chunks_that_fail_again_and_again_pause_the_job(database: Any) -> None:
    """Halved to a single row it still fails, though no row is to blame."""
    field = await Field.open(
        database,
        *TABLE,
        """
        CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'could not serialize access'; END $$;
        CREATE TRIGGER collide BEFORE UPDATE ON t1 FOR EACH ROW EXECUTE FUNCTION collide()
        """,
    )
    await field.enqueue(table_name="t1")
    assert await field.drain() == 0
    paused = await field.progress()
    said = f"circuit_breaker {breaker.FAILED_MAX} chunks in a row failed, the last: could not serialize access (40001)"
    assert (paused["status"], paused["hold_reason"]) == ("paused", said)
