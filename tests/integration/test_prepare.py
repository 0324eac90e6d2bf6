"""The upper bound of a walk is read once everything older than the job's start has ended."""

from __future__ import annotations

from typing import Any

import pytest
from support.field import Field, eventually
from support.steps import started

from pgbackfill.database import jobs, prepare

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "INSERT INTO t1 SELECT generate_series(10, 20)",
)
COUNTS = "SELECT n, count(*) FROM t1 GROUP BY 1 ORDER BY 1"
HOLD = "SELECT hold_reason FROM pgbackfill.progress"


async def test_an_insert_in_flight_below_the_bound_is_not_missed(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    other = await database.connect()
    pid = await other.fetchval("SELECT pg_backend_pid()")
    async with field.daemon():
        async with other.transaction():
            await other.execute("INSERT INTO t1 VALUES (1), (15000)")
            await field.enqueue(table_name="t1")
            reason = await eventually(lambda: field.value(HOLD))
            assert reason.startswith(f"old_transaction pid {pid} open for ")
            assert await field.rows("SELECT count(*) FROM pgbackfill.ranges") == [(0,)]
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows(COUNTS) == [(1, 13)]
    assert await field.value(HOLD) is None


async def test_a_transaction_that_began_later_holds_nothing_up(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    job = await started(field, table_name="t1")
    other = await database.connect()
    async with other.transaction():
        await other.execute("INSERT INTO t1 VALUES (1)")
        assert await prepare.waits_for(field.connection, job) is None


async def test_a_reader_holds_nothing_up(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    other = await database.connect()
    async with other.transaction(isolation="repeatable_read"):
        await other.fetch("SELECT * FROM t1")
        assert await prepare.waits_for(field.connection, await started(field, table_name="t1")) is None


async def test_a_prepared_transaction_is_named(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    other = await database.connect()
    await other.execute("BEGIN; INSERT INTO t1 VALUES (1); PREPARE TRANSACTION 'from last week'")
    job = await started(field, table_name="t1")
    reason = await prepare.waits_for(field.connection, job)
    assert reason is not None
    assert reason.startswith("old_transaction prepared 'from last week' open for ")
    await other.execute("COMMIT PREPARED 'from last week'")
    assert await prepare.waits_for(field.connection, job) is None


async def test_a_transaction_in_another_database_is_named_with_it(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    other = await database.connect(database.postgres.dsn("postgres"))
    async with other.transaction():
        await other.execute("SELECT pg_current_xact_id()")
        reason = await prepare.waits_for(field.connection, await started(field, table_name="t1"))
        assert reason is not None
        pid = await other.fetchval("SELECT pg_backend_pid()")
        assert reason.startswith(f"old_transaction pid {pid} in database postgres open for ")


async def test_a_job_that_waits_can_be_cancelled(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    other = await database.connect()
    async with other.transaction(), field.daemon():
        await other.execute("INSERT INTO t1 VALUES (1)")
        await field.enqueue(table_name="t1")
        await eventually(lambda: field.value(HOLD))
        await field.execute("SELECT pgbackfill.cancel('job')")
        await eventually(lambda: field.value("SELECT status = 'cancelled' FROM pgbackfill.jobs"))
    assert await field.rows(COUNTS) == [(0, 12)]


async def test_rows_born_above_the_bound_are_left_alone(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    job = await started(field, table_name="t1")
    assert await prepare.prepare(field.connection, await database.connect(), job)
    await field.execute("INSERT INTO t1 VALUES (21), (1000)")
    assert await field.drain() == 0
    assert await field.rows(COUNTS) == [(0, 2), (1, 11)]


async def test_a_locked_table_holds_its_own_job_and_no_other(database: Any) -> None:
    field = await Field.open(
        database, *TABLE, "CREATE TABLE t2 (id int PRIMARY KEY, n int)", "INSERT INTO t2 VALUES (1, 0)"
    )
    await started(field, name="locked", table_name="t1")
    other = await database.connect()
    async with field.daemon():
        async with other.transaction():
            await other.execute("LOCK TABLE t1 IN ACCESS EXCLUSIVE MODE")
            await field.enqueue(name="free", table_name="t2")
            status = "SELECT status = 'succeeded' FROM pgbackfill.jobs WHERE name = $1"
            reason = await eventually(lambda: field.value(HOLD + " WHERE name = 'locked'"))
            assert reason.startswith("table_locked")
        await eventually(lambda: field.value(status, "free"))
        await eventually(lambda: field.value(status, "locked"))
    assert await field.rows(COUNTS) == [(1, 11)]


@pytest.mark.newest
async def test_a_work_login_out_of_reach_holds_its_jobs_and_says_so(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(table_name="t1")
    async with field.daemon(work_dsn="postgresql://nobody@127.0.0.1:1/nowhere"):
        reason = await eventually(lambda: field.value(HOLD))
        assert reason == "disconnected connection refused (database nowhere on 127.0.0.1:1 as nobody)"
        assert await field.value("SELECT count(*) = 1 FROM pgbackfill.workers")


@pytest.mark.newest
async def test_many_locked_tables_delay_no_other_job(database: Any) -> None:
    """Waiting for each of them takes seconds; one after the other, the free job would never see its turn."""
    names = [f"locked{i}" for i in range(6)]
    field = await Field.open(database, *TABLE, *(f"CREATE TABLE {name} (LIKE t1 INCLUDING ALL)" for name in names))
    for name in names:
        await started(field, name=name, table_name=name)
    await started(field, name="free", table_name="t1")
    other = await database.connect()
    async with other.transaction():
        await other.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
        async with field.daemon(max_concurrent_jobs=10):
            await eventually(
                lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs WHERE name = 'free'")
            )
    assert await field.rows(COUNTS) == [(1, 11)]


async def test_a_table_dropped_before_the_job_began_fails_it(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(table_name="t1")
    await field.execute("DROP TABLE t1")
    assert await field.drain() == 1
    assert await field.error() == "table t1 or its key was dropped before the job began; enqueue it again"


RLS = """
CREATE TABLE t1 (id int PRIMARY KEY, tenant int, n int NOT NULL DEFAULT 0);
INSERT INTO t1 SELECT i, i % 2 FROM generate_series(1, 40) i;
ALTER TABLE t1 ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON t1 USING (tenant = current_setting('app.tenant')::int);
"""


async def _restricted(field: Field) -> str:
    dsn: str = await field.database.login("pgbackfill_worker")
    login = await field.database.connect(dsn)
    name = await login.fetchval("SELECT current_user")
    await field.execute(f"GRANT SELECT, UPDATE ON t1 TO {name}")
    await login.close()
    return dsn


async def test_row_level_security_fails_a_job_instead_of_narrowing_it(database: Any) -> None:
    field = await Field.open(database, RLS)
    work_dsn = await _restricted(field)
    await field.enqueue(table_name="t1", session_settings={"app.tenant": 1})
    assert await field.drain(work_dsn=work_dsn) == 1
    assert "row-level security" in (await field.error() or "")
    assert await field.rows(COUNTS) == [(0, 40)]


async def test_a_job_may_ask_to_be_one_tenant(database: Any) -> None:
    field = await Field.open(database, RLS)
    work_dsn = await _restricted(field)
    await field.enqueue(table_name="t1", session_settings={"app.tenant": 1, "row_security": True})
    assert await field.drain(work_dsn=work_dsn) == 0, await field.error()
    assert await field.rows("SELECT tenant, n, count(*) FROM t1 GROUP BY 1, 2 ORDER BY 1") == [(0, 0, 20), (1, 1, 20)]


@pytest.mark.newest
async def test_a_job_without_a_range_has_not_succeeded(database: Any) -> None:
    """What a look sees that meets the commit of the preparation: the job anew, its ranges not yet."""
    field = await Field.open(database, *TABLE)
    await started(field, table_name="t1")
    await field.execute("UPDATE pgbackfill.jobs SET prepared_at = now()")
    assert await jobs.settle(field.connection) == []
