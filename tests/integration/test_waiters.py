"""A chunk gives way to whoever waits for it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from support.field import Field, eventually

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, m int NOT NULL DEFAULT 0)",
    "INSERT INTO t1 SELECT generate_series(1, 100)",
    "CREATE TABLE in_a_hurry ()",
    # As slow as a trigger that asks another service, until somebody inserts into in_a_hurry.
    """
    CREATE FUNCTION slowly() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(1) WHERE NOT EXISTS (SELECT FROM in_a_hurry);
        RETURN 1;
    END $$
    """,
)
JOB: dict[str, Any] = {
    "table_name": "t1",
    "set_clause": "n = n + slowly()",
    "options": {"statement_timeout_ms": 60_000, "lock_timeout_ms": 500},
}
AT_WORK = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
COUNTS = "SELECT n, count(*) FROM t1 GROUP BY 1 ORDER BY 1"


async def _hurry(field: Field) -> None:
    await field.execute("INSERT INTO in_a_hurry DEFAULT VALUES")
    await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))


async def test_a_chunk_is_cancelled_for_a_session_that_waits_for_its_rows(database: Any) -> None:
    """The chunk would take a minute and a half; the update gets through long before it."""
    field = await Field.open(database, *TABLE)
    await field.enqueue(**JOB)
    async with field.daemon(chunk_max_rows=100):
        await eventually(lambda: field.value(AT_WORK))
        for row in (1, 2, 3):
            await field.execute(f"UPDATE t1 SET m = 1 WHERE id = {row}")
        assert await field.rows(COUNTS) == [(0, 100)]
        await _hurry(field)
    assert await field.rows(COUNTS) == [(1, 100)]
    assert await field.value("SELECT array_agg(id ORDER BY id) FROM t1 WHERE m = 1") == [1, 2, 3]
    assert await field.value("SELECT count(*) FROM pgbackfill.quarantine") == 0


@pytest.mark.newest
async def test_a_lock_on_the_whole_table_gets_through_as_well(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(**JOB)
    async with field.daemon(chunk_max_rows=100):
        await eventually(lambda: field.value(AT_WORK))
        await field.execute("ALTER TABLE t1 ADD COLUMN later text")
        assert await field.rows(COUNTS) == [(0, 100)]
        await _hurry(field)
    assert await field.rows(COUNTS) == [(1, 100)]


@pytest.mark.newest
async def test_a_single_row_that_keeps_others_waiting_is_a_hold_and_not_set_aside(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(**JOB)
    other = await database.connect()
    pid = other.get_server_pid()

    async def keep_asking() -> None:
        while True:
            await other.execute("UPDATE t1 SET m = m + 1 WHERE id = 1")

    async with field.daemon(chunk_max_rows=1):
        async with anyio.create_task_group() as tasks:
            await eventually(lambda: field.value(AT_WORK))
            tasks.start_soon(keep_asking)
            reason = await eventually(
                lambda: field.value("SELECT hold_reason FROM pgbackfill.progress WHERE hold_reason ~ '^lock_waiters'")
            )
            assert reason.startswith(f"lock_waiters pid {pid} waited 0."), reason
            await eventually(lambda: field.value("SELECT m >= 3 FROM t1 WHERE id = 1"))
            tasks.cancel_scope.cancel()
        await _hurry(field)
    assert await field.rows(COUNTS) == [(1, 100)]
    assert await field.value("SELECT count(*) FROM pgbackfill.quarantine") == 0


@pytest.mark.newest
async def test_building_an_index_beside_it_costs_no_chunk(database: Any) -> None:
    """CREATE INDEX CONCURRENTLY waits for transactions to end, but keeps nobody else waiting meanwhile."""
    field = await Field.open(database, *TABLE)
    await field.enqueue(**JOB)
    async with field.daemon(chunk_max_rows=2), anyio.create_task_group() as tasks:
        await eventually(lambda: field.value(AT_WORK))
        other = await database.connect()
        tasks.start_soon(other.execute, "CREATE INDEX CONCURRENTLY ON t1 (m)")
        await eventually(lambda: field.value("SELECT count(*) > 0 FROM t1 WHERE n = 1"))
        await _hurry(field)
    assert await field.value("SELECT count(*) FROM pgbackfill.ranges WHERE rows_changed = 100") == 1


@pytest.mark.newest
async def test_writers_in_the_opposite_order_never_lose_a_deadlock(database: Any) -> None:
    """Chunks lock upwards, these transactions downwards; each side waits for the other again and again."""
    field = await Field.open(database, *TABLE)
    await field.enqueue(table_name="t1", set_clause="n = n + 1 + (pg_sleep(0.002) IS NULL)::int")

    async def write(first: int) -> None:
        connection = await database.connect()
        for turn in range(8):
            async with connection.transaction():
                for row in (100 - first - turn, 50, 1 + first + turn):
                    await connection.execute("UPDATE t1 SET m = m + 1 WHERE id = $1", row)

    async with field.daemon(chunk_max_rows=100):
        async with anyio.create_task_group() as writers:
            for first in (0, 10, 20):
                writers.start_soon(write, first)
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows(COUNTS) == [(1, 100)]
    assert await field.value("SELECT sum(m) FROM t1") == 3 * 8 * 3
