"""Quarantined rows are run again exactly once, through the same chunk transaction, and leave where they succeed."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from support.field import Field, eventually

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, divisor int NOT NULL DEFAULT 1)",
    "INSERT INTO t1 SELECT generate_series(1, 200)",
    "UPDATE t1 SET divisor = 0 WHERE id IN (3, 77, 78, 200)",
)
FORMS = {
    "range": {"set_clause": "n = n + 1 / divisor"},
    "locked range": {"set_clause": "n = n + (SELECT 1 FROM pg_class WHERE relname = 'pg_class') / divisor"},
    "joined": {"set_clause": "n = t.n + v.x / t.divisor", "from_clause": "(VALUES (1)) AS v(x)"},
}
COUNTS = "SELECT n, count(*) FROM t1 GROUP BY 1 ORDER BY 1"
QUARANTINE = "SELECT key[1], sqlstate FROM pgbackfill.quarantine ORDER BY key[1]::int"
RETRY = "SELECT pgbackfill.retry_quarantined('job')"


@pytest.mark.parametrize("form", FORMS)
async def test_what_was_mended_is_changed_once_and_the_rest_stays(database: Any, form: str) -> None:
    field = await Field.open(database, *TABLE)
    await field.backfill(table_name="t1", **FORMS[form])
    await field.execute("UPDATE t1 SET divisor = 1 WHERE id IN (3, 77)")
    await field.execute("DELETE FROM t1 WHERE id = 78")
    assert await field.value(RETRY) == 4
    assert await field.value(RETRY) == 4, "asked twice, run once"
    assert await field.drain() == 0, await field.error()
    done = await field.succeeded()
    assert (done["rows_scanned"], done["rows_changed"], done["rows_quarantined"]) == (200, 198, 1)
    assert await field.rows(QUARANTINE) == [("200", "22012")]
    assert await field.rows(COUNTS) == [(0, 1), (1, 198)]
    assert await field.events("quarantine_retried") == [{"rows": 4}, {"rows": 4}]


@pytest.mark.newest
async def test_again_and_again_until_all_are_mended(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.backfill(table_name="t1", **FORMS["range"])
    for id_ in (3, 77, 78, 200):
        await field.execute("UPDATE t1 SET divisor = 1 WHERE id = $1", id_)
        await field.value(RETRY)
        assert await field.drain() == 0, await field.error()
    assert await field.rows(COUNTS) == [(1, 200)]
    assert await field.value(RETRY) == 0
    assert await field.value("SELECT status FROM pgbackfill.jobs") == "succeeded"


@pytest.mark.newest
async def test_a_job_with_too_many_of_them_goes_on_behind_them(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(table_name="t1", options={"max_quarantined": 1}, **FORMS["range"])
    assert await field.drain() == 1
    await field.execute("UPDATE t1 SET divisor = 1")
    assert await field.value(RETRY) == 2
    assert await field.drain() == 0, await field.error()
    assert await field.rows(COUNTS) == [(1, 200)]
    assert await field.rows(QUARANTINE) == []


@pytest.mark.newest
async def test_partitions_keep_theirs_apart(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE t1 (id int PRIMARY KEY, n int DEFAULT 0, divisor int DEFAULT 1) PARTITION BY RANGE (id)",
        *(f"CREATE TABLE t1_{i} PARTITION OF t1 FOR VALUES FROM ({i}) TO ({i + 100})" for i in (1, 101)),
        *TABLE[1:],
    )
    await field.backfill(table_name="t1", **FORMS["range"])
    await field.execute("UPDATE t1 SET divisor = 1")
    assert await field.value(RETRY) == 4
    assert await field.drain() == 0, await field.error()
    assert await field.rows(COUNTS) == [(1, 200)]


@pytest.mark.newest
async def test_a_work_login_can_do_it_and_a_daemon_that_runs_takes_notice(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    work_dsn = await database.login("pgbackfill_worker")
    login = work_dsn.split("//")[1].split(":")[0]
    await field.execute(f"GRANT SELECT, UPDATE ON t1 TO {login}")
    await field.enqueue(table_name="t1", **FORMS["range"])
    async with field.daemon(work_dsn=work_dsn):
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
        await field.execute("UPDATE t1 SET divisor = 1 WHERE id > 50")
        await field.value(RETRY)
        await eventually(lambda: field.value("SELECT count(*) = 1 FROM pgbackfill.quarantine"))
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows(COUNTS) == [(0, 1), (1, 199)]


@pytest.mark.newest
async def test_who_may_not_and_when_not(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(table_name="t1", desired_state="cancel")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="is cancelled; queue it again first, with"):
        await field.value(RETRY)
    with pytest.raises(asyncpg.NoDataFoundError, match='no job named "nothing"'):
        await field.value("SELECT pgbackfill.retry_quarantined('nothing')")
    viewer = await database.connect(await database.login("pgbackfill_viewer"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await viewer.fetchval(RETRY)
