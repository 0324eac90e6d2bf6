"""What the doctor finds, one ailment at a time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from support.field import Field, eventually

from pgbackfill.doctor import examination
from pgbackfill.doctor.examination import Check, Finding, Level, examine
from pgbackfill.doctor.text import healthy, text

TABLE = (
    "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "INSERT INTO t SELECT generate_series(1, 100)",
)


async def look(field: Field, title: str) -> Check:
    (check,) = [check for check in await examine(field.connection) if check.title == title]
    return check


def of(check: Check, words: str) -> Finding:
    """The finding with these words: other tests share the server, and some findings are the server's."""
    (finding,) = [finding for finding in check.findings if words in finding.what]
    return finding


async def test_a_long_transaction_and_the_command_that_ends_it(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    field = await Field.open(database, *TABLE)
    forgotten = await database.connect()
    await forgotten.execute("BEGIN; UPDATE t SET n = 7 WHERE id = 1")
    pid = forgotten.get_server_pid()
    assert not [f for f in (await look(field, "Long transactions")).findings if f"pid {pid} " in f.what]
    looks = [one if one.block != "long_transactions" else _younger(one) for one in examination._LOOKS]
    monkeypatch.setattr(examination, "_LOOKS", tuple(looks))
    finding = of(await look(field, "Long transactions"), f"pid {pid} ")
    assert finding.level is Level.PROBLEM
    assert "is idle in transaction, in a transaction for 0 s, and keeps dead rows" in finding.what
    assert finding.what.endswith("last: BEGIN; UPDATE t SET n = 7 WHERE id = 1")
    await field.connection.fetch(str(finding.fix))
    await eventually(lambda: _ended(field, pid))
    assert not [f for f in (await look(field, "Long transactions")).findings if f"pid {pid} " in f.what]


def _younger(one: Any) -> Any:
    return examination._Look(one.title, one.block, (0.0,), one.stats)


async def _ended(field: Field, pid: int) -> bool:
    return not await field.value("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid)


async def test_a_prepared_transaction(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.execute(f"BEGIN; UPDATE t SET n = 1; PREPARE TRANSACTION 'of {database.name}'")
    finding = of(await look(field, "Prepared transactions"), f"'of {database.name}'")
    assert f"in database {database.name}, for 0 s" in finding.what
    await field.execute(str(finding.fix).split("   -- ")[0])
    assert not [f for f in (await look(field, "Prepared transactions")).findings if database.name in f.what]


@asynccontextmanager
async def waiting(field: Field) -> Any:
    """Somebody waits for a lock on t that somebody else holds; their pids."""
    holder, waiter = await field.database.connect(), await field.database.connect()
    await holder.execute("BEGIN; LOCK TABLE t")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter.fetch, "SELECT count(*) FROM t")
        await eventually(
            lambda: field.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = $1", waiter.get_server_pid())
        )
        yield holder.get_server_pid(), waiter.get_server_pid()


async def test_who_is_blocked_by_whom_with_both_queries(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    async with waiting(field) as (holder, waiter):
        finding = of(await look(field, "Blocked sessions"), f"pid {waiter} (")
        assert finding.level is Level.WARNING
        assert "for AccessShareLock on public.t: SELECT count(*) FROM t; blocked by" in finding.what
        assert f"blocked by pid {holder} (" in finding.what
        assert finding.what.endswith("idle in transaction): BEGIN; LOCK TABLE t")
        await field.connection.fetch(str(finding.fix))
    assert not [f for f in (await look(field, "Blocked sessions")).findings if f"pid {waiter} " in f.what]


async def test_an_invalid_index_is_rebuilt_by_the_command(database: Any) -> None:
    field = await Field.open(database, *TABLE, "UPDATE t SET n = 1")
    with pytest.raises(Exception, match="could not create unique index"):
        await field.execute("CREATE UNIQUE INDEX CONCURRENTLY once ON t (n)")
    (finding,) = (await look(field, "Invalid indexes")).findings
    assert finding.level is Level.PROBLEM
    assert finding.what.startswith("index public.once of public.t (")
    await field.execute("UPDATE t SET n = id")
    await field.execute(str(finding.fix))
    assert (await look(field, "Invalid indexes")).findings == ()


async def test_an_index_that_is_being_built_is_not_an_invalid_one(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    writer, builder = await database.connect(), await database.connect()
    await writer.execute("BEGIN; UPDATE t SET n = 1 WHERE id = 1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(builder.execute, "CREATE INDEX CONCURRENTLY slowly ON t (n)")
        await eventually(
            lambda: field.value("SELECT count(*) FROM pg_stat_progress_create_index WHERE current_locker_pid <> 0")
        )
        (finding,) = (await look(field, "Index builds")).findings
        assert finding.level is Level.WARNING
        assert finding.what.startswith(
            f"CREATE INDEX CONCURRENTLY on public.t by pid {builder.get_server_pid()}: waiting"
        )
        assert f"waits for pid {writer.get_server_pid()}" in finding.what
        assert str(writer.get_server_pid()) in str(finding.fix)
        assert (await look(field, "Invalid indexes")).findings == ()
        await writer.execute("COMMIT")


async def test_a_slot_that_nobody_uses(database: Any) -> None:
    field = await Field.open(database)
    name = f"of_{database.name}"
    await field.value("SELECT pg_create_physical_replication_slot($1, true)", name)
    finding = of(await look(field, "Replication slots"), f"slot {name} ")
    assert finding.level is Level.WARNING
    assert "is used by nobody, keeps " in finding.what
    await field.connection.fetch(str(finding.fix).split("   -- ")[0])
    assert not [f for f in (await look(field, "Replication slots")).findings if name in f.what]


async def test_tables_of_jobs_and_their_vacuum(database: Any) -> None:
    field = await Field.open(database, *TABLE, "ALTER TABLE t SET (autovacuum_enabled = off)")
    title = "Vacuum of the tables of jobs"
    assert (await look(field, title)).findings == ()
    await field.enqueue(table_name="t")
    (finding,) = (await look(field, title)).findings
    assert (finding.level, finding.fix) == (Level.WARNING, "ALTER TABLE public.t RESET (autovacuum_enabled)")
    assert "never vacuumed, autovacuum is off" in finding.what
    await field.execute(str(finding.fix))
    (finding,) = (await look(field, title)).findings
    assert finding.level is Level.FINE


async def test_our_own_jobs_and_daemons(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    assert (await look(field, "Jobs")).findings == ()
    await field.enqueue(table_name="t", where_clause="1 / (n - n) = 1")
    (finding,) = (await look(field, "Daemons")).findings
    assert (finding.level, finding.fix) == (Level.PROBLEM, "pgbackfill run")
    assert finding.what == "0 live daemons of pgbackfill, 1 job to work on"
    assert await field.drain(max_quarantined=0) == 1
    (finding,) = (await look(field, "Jobs")).findings
    assert finding.level is Level.PROBLEM
    assert finding.what.startswith("job job is failed at ")
    await field.connection.fetch(str(finding.fix).split("   -- ")[0])
    await field.value("SELECT pgbackfill.pause('job')")
    (finding,) = (await look(field, "Jobs")).findings
    assert (finding.level, finding.fix) == (Level.WARNING, "SELECT pgbackfill.resume('job')")
    await field.connection.fetch(str(finding.fix))
    await field.execute(
        "UPDATE pgbackfill.jobs SET wait_reason = 'old_transaction pid 7', wait_since = now() - '2 min'::interval"
    )
    finding = of(await look(field, "Jobs"), "held for 120 s: old_transaction pid 7")
    assert finding.level is Level.PROBLEM


@pytest.mark.newest
async def test_replicas(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    field = await Field.open(pair.database)
    (finding,) = (await look(field, "Replicas")).findings
    assert (finding.level, finding.fix) == (Level.FINE, None)
    assert finding.what.startswith("standby is streaming, ")
    behind = [
        one if one.block != "replicas" else examination._Look(one.title, one.block, (-1,)) for one in examination._LOOKS
    ]
    monkeypatch.setattr(examination, "_LOOKS", tuple(behind))
    assert (await look(field, "Replicas")).level is Level.PROBLEM


@pytest.mark.newest
async def test_with_few_rights_it_says_which_grant_is_missing(pair: Any) -> None:
    database = pair.database
    nobody = await database.connect(await database.login())
    checks = {check.title: check for check in await examine(nobody)}
    login = await nobody.fetchval("SELECT current_user")
    for title in ("Long transactions", "Blocked sessions", "Index builds", "Replicas"):
        assert checks[title].level is Level.UNKNOWN
        assert {finding.fix for finding in checks[title].findings} == {f"GRANT pg_monitor TO {login}"}, title
    assert checks["Jobs"].findings[0].fix == f"GRANT pgbackfill_viewer TO {login}"
    assert checks["Invalid indexes"].level is Level.FINE
    assert not healthy(list(checks.values()))
    helped = await database.connect(await database.login("pg_monitor", "pgbackfill_viewer"))
    unknown = [check.title for check in await examine(helped) if check.level is Level.UNKNOWN]
    assert unknown == ["Vacuum of the tables of jobs"]
    complete = await database.connect(await database.login("pg_monitor", "pgbackfill_viewer", "pgbackfill_enqueuer"))
    assert [check.title for check in await examine(complete) if check.level is Level.UNKNOWN] == []


@pytest.mark.newest
async def test_a_database_without_our_schema_is_examined_all_the_same(database: Any) -> None:
    field = await Field.open(database, "DROP SCHEMA pgbackfill CASCADE")
    assert (await look(field, "Jobs")).findings[0].fix == "pgbackfill migrate"


@pytest.mark.newest
async def test_a_failing_archive(own_pair: Any) -> None:
    primary = own_pair.primary
    field = await Field.open(own_pair.database)
    assert (await look(field, "Archive")).findings == ()
    await field.execute("ALTER SYSTEM SET archive_mode = on")
    await field.execute("ALTER SYSTEM SET archive_command = 'false'")
    await field.connection.close()
    primary.stop()
    primary.start()
    field = await Field.open(own_pair.database)
    await field.value("SELECT pg_switch_wal()")
    await eventually(lambda: field.value("SELECT failed_count FROM pg_stat_archiver"))
    (finding,) = (await look(field, "Archive")).findings
    assert finding.level is Level.PROBLEM
    assert finding.what.startswith("archiving fails: 0000000")
    assert "SHOW archive_command" in text([Check("Archive", (finding,))])
