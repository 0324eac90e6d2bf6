"""What is old is removed, what is young or still needed stays, and nobody's open transaction is waited for."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from support.field import Field, eventually

from pgbackfill.database import retention

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "INSERT INTO t1 SELECT generate_series(1, 9)",
)
NAMES = "SELECT array_agg(name ORDER BY name) FROM pgbackfill.jobs"
OLD = "UPDATE pgbackfill.jobs SET finished_at = finished_at - interval '400 days' WHERE name LIKE '%old%'"


async def _jobs(field: Field, *names: str, **row: Any) -> None:
    for name in names:
        await field.enqueue(name=name, table_name="t1", **row)
    assert await field.drain() == 0


@pytest.mark.newest
async def test_a_daemon_with_its_own_rights_alone_removes_old_jobs_and_events(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await _jobs(field, "old", "young")
    await _jobs(field, "old-bad", set_clause="n = n + 1 / (id - 5)")
    await field.enqueue(name="old-waiting", table_name="t1", desired_state="pause")
    await field.execute(OLD)
    await field.execute(
        "UPDATE pgbackfill.events SET at = at - interval '91 days' WHERE job_id ="
        " (SELECT id FROM pgbackfill.jobs WHERE name = 'young')"
    )
    daemon = await database.login("pgbackfill_daemon")
    login = daemon.split("//")[1].split(":")[0]
    await field.execute(f"GRANT SELECT, UPDATE ON t1 TO {login}")
    async with field.daemon(dsn=daemon, heartbeat_s=0.1):
        await eventually(lambda: field.value("SELECT count(*) = 3 FROM pgbackfill.jobs"))
    assert await field.value(NAMES) == ["old-bad", "old-waiting", "young"], "a row is still in quarantine; not finished"
    assert await field.value("SELECT count(*) FROM pgbackfill.ranges") == 2
    assert await field.events("status", "young") == []
    assert await field.events("status", "old-bad") != []
    with pytest.raises(asyncpg.NoDataFoundError, match='no job named "old"') as caught:
        await field.value("SELECT pgbackfill.assert_finished('old')")
    assert caught.value.hint == "Finished jobs are removed after PGBACKFILL_JOB_RETENTION_DAYS."
    await field.execute(f"DROP OWNED BY {login}")


@pytest.mark.newest
async def test_a_job_that_somebody_has_locked_is_passed_over(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await _jobs(field, "old-1", "old-2")
    await field.execute(OLD)
    other = await database.connect()
    await field.execute("SET statement_timeout = '5s'")
    async with other.transaction():
        await other.execute("SELECT FROM pgbackfill.jobs WHERE name = 'old-1' FOR UPDATE")
        assert await retention.prune(field.connection, events_days=90, jobs_days=365)
    assert await field.value(NAMES) == ["old-1"]


@pytest.mark.newest
async def test_few_at_a_time_and_none_where_jobs_are_kept(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_ROWS", 2)
    field = await Field.open(database, *TABLE)
    await _jobs(field, "old-1", "old-2", "old-3")
    await field.execute(OLD)
    assert await retention.prune(field.connection, events_days=90, jobs_days=0)
    assert await field.value("SELECT count(*) FROM pgbackfill.jobs") == 3
    assert not await retention.prune(field.connection, events_days=90, jobs_days=365)
    assert await field.value("SELECT count(*) FROM pgbackfill.jobs") == 1
    assert await retention.prune(field.connection, events_days=90, jobs_days=365)
    assert await field.value("SELECT count(*) FROM pgbackfill.jobs") == 0


@pytest.mark.newest
async def test_no_login_of_a_daemon_removes_what_is_young(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await _jobs(field, "job")
    daemon = await database.connect(await database.login("pgbackfill_daemon"))
    assert await daemon.fetchval("SELECT pgbackfill.prune_events('0', 100)") == 0
    assert await daemon.fetchval("SELECT pgbackfill.prune_jobs('-1 year', 100)") == 0
    for table in ("jobs", "events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await daemon.execute(f"DELETE FROM pgbackfill.{table}")
