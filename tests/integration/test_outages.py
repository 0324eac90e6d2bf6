"""What goes away by itself is waited for, wherever it strikes: in a chunk, a claim, a hold, a heartbeat."""

from __future__ import annotations

from typing import Any

import pytest
from support.field import Field, eventually

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "INSERT INTO t1 SELECT generate_series(1, 200)",
)
COUNTS = "SELECT n, count(*) FROM t1 GROUP BY 1 ORDER BY 1"
HOLD = "SELECT hold_reason FROM pgbackfill.progress"
SUCCEEDED = "SELECT status = 'succeeded' FROM pgbackfill.jobs"
SLOWLY = {"chunk_max_rows": 2, "max_rows_per_s": 100}

# What the daemon writes there fails as if the disk were full. A sequence counts, because it outlives the rollback.
FULL = """
CREATE SEQUENCE refused;
GRANT USAGE ON SEQUENCE refused TO PUBLIC;
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('application_name') LIKE 'pgbackfill/%' THEN
        PERFORM nextval('public.refused');
        RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = 'could not extend file "base/1/2"';
    END IF;
    RETURN NEW;
END $$;
"""


async def _break(field: Field, table: str, sqlstate: str = "53100") -> None:
    await field.execute(
        f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION full_disk('{sqlstate}')"
    )


async def _refused(field: Field, times: int) -> None:
    await eventually(lambda: field.value("SELECT last_value >= $1 AND is_called FROM refused", times))


@pytest.mark.newest
@pytest.mark.parametrize("sqlstate", ["40P01", "53100", "53200", "55P03", "57014"])
@pytest.mark.parametrize("table", ["jobs", "ranges", "workers"])
async def test_pgbackfills_own_tables_may_be_out_of_order_for_a_while(database: Any, table: str, sqlstate: str) -> None:
    field = await Field.open(database, *TABLE, FULL)
    await _break(field, f"pgbackfill.{table}", sqlstate)
    await field.enqueue(table_name="t1")
    async with field.daemon(heartbeat_s=0.5):
        await _refused(field, 2)
        await field.execute(f"DROP TRIGGER full_disk ON pgbackfill.{table}")
        await eventually(lambda: field.value(SUCCEEDED))
        await eventually(lambda: field.value("SELECT count(*) = 1 FROM pgbackfill.workers"))
    assert await field.rows(COUNTS) == [(1, 200)]


@pytest.mark.newest
async def test_a_disk_that_fills_up_in_the_middle_is_a_hold_until_there_is_room(database: Any) -> None:
    field = await Field.open(database, *TABLE, FULL)
    await field.enqueue(table_name="t1", options=SLOWLY)
    async with field.daemon():
        await eventually(lambda: field.value("SELECT count(*) > 0 FROM t1 WHERE n = 1"))
        await _break(field, "t1")
        said = 'server_full could not extend file "base/1/2" (53100)'
        await eventually(lambda: field.value(f"SELECT hold_reason = '{said}' FROM pgbackfill.progress"))
        await _break(field, "pgbackfill.ranges")  # now not even the hold can be written
        await _refused(field, 4)
        await field.execute("DROP TRIGGER full_disk ON t1; DROP TRIGGER full_disk ON pgbackfill.ranges")
        await field.execute("UPDATE pgbackfill.jobs SET options = '{}'")
        await eventually(lambda: field.value(SUCCEEDED))
    assert await field.rows(COUNTS) == [(1, 200)]
    assert await field.value("SELECT count(*) FROM pgbackfill.quarantine") == 0


@pytest.mark.newest
async def test_a_login_that_gets_no_connection_is_a_hold_that_says_so(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    work_dsn = await database.login("pgbackfill_worker")
    login = work_dsn.split("//")[1].split(":")[0]
    await field.execute(f"GRANT SELECT, UPDATE ON t1 TO {login}")
    await field.enqueue(table_name="t1", options=SLOWLY)
    async with field.daemon(work_dsn=work_dsn):
        await eventually(lambda: field.value("SELECT count(*) > 0 FROM t1 WHERE n = 1"))
        await field.execute(f"ALTER ROLE {login} CONNECTION LIMIT 0")
        await field.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", login)
        reason = await eventually(lambda: field.value(HOLD + " WHERE hold_reason LIKE 'server_full%'"))
        assert reason.startswith(f'server_full no connection left: too many connections for role "{login}" (database ')
        await field.execute(f"ALTER ROLE {login} CONNECTION LIMIT -1")
        await field.execute("UPDATE pgbackfill.jobs SET options = '{}'")
        await eventually(lambda: field.value(SUCCEEDED))
    assert await field.rows(COUNTS) == [(1, 200)]
