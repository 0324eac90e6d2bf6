"""Who may work on a range: leases, epochs and tokens; what happens to those who may not any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import asyncpg
import pytest
from support.field import Field, eventually
from support.steps import Steps, claimed, started

from pgbackfill.control.options import PacingOptions
from pgbackfill.database import prepare, ranges
from pgbackfill.database.ranges import OpenRanges
from pgbackfill.database.types import Connection
from pgbackfill.errors import LeaseLost
from pgbackfill.jobs.job import Claim

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "INSERT INTO t1 SELECT generate_series(1, 40)",
)
ONCE = [(1, 40)]
COUNTS = "SELECT n, count(*) FROM t1 GROUP BY 1 ORDER BY 1"
EXPIRE = "UPDATE pgbackfill.ranges SET lease_until = clock_timestamp() - interval '1 second'"


LOST = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError)
STUCK = """
SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '/* pgbackfill job=%'
"""


async def _another(steps: Steps) -> Steps:
    return await Steps.take(steps.field, steps.job)


async def test_of_many_claimants_one_gets_the_range(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    job = await started(field, table_name="t1")
    assert await prepare.prepare(field.connection, await database.connect(), job)
    connections = [await database.connect() for _ in range(8)]
    won: list[Claim] = []

    async def compete(connection: Connection) -> None:
        claim = await claimed(field, job, connection=connection)
        if claim is not None:
            won.append(claim)

    for round_ in range(1, 6):
        async with anyio.create_task_group() as tasks:
            for connection in connections:
                tasks.start_soon(compete, connection)
        assert [claim.epoch for claim in won] == [round_]
        assert await ranges.release(field.connection, won.pop())


async def test_of_many_claimants_each_gets_a_range_of_its_own(database: Any) -> None:
    field = await Field.open(database, TABLE[0], "INSERT INTO t1 SELECT generate_series(1, 4000)")
    job = await started(field, table_name="t1")
    assert await prepare.prepare(field.connection, await database.connect(), job, parallelism=2) == 8
    won: list[int] = []

    async def take_all(connection: Connection) -> None:
        while (claim := await claimed(field, job, connection=connection)) is not None:
            won.append(claim.ordinal)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(take_all, await database.connect())
    assert sorted(won) == list(range(8))
    assert await ranges.open_ranges(field.connection) == {job.id: OpenRanges(free=0, held=8)}
    await field.execute("UPDATE pgbackfill.jobs SET desired_state = 'pause'")
    await field.execute(EXPIRE)
    assert await ranges.open_ranges(field.connection) == {job.id: OpenRanges(free=0, held=0)}
    assert await claimed(field, job) is None


async def test_a_daemon_does_not_take_its_own_range_over(database: Any) -> None:
    """After an outage longer than the lease, the lane that has the range is still there, and nobody was faster."""
    field = await Field.open(database, *TABLE)
    job = await started(field, table_name="t1", options={"parallelism": 2, "lock_timeout_ms": 50})
    assert await prepare.prepare(field.connection, await database.connect(), job) == 1
    other = await database.connect()
    async with other.transaction():
        await other.execute("SELECT FROM t1 WHERE id = 20 FOR UPDATE")
        async with field.daemon():
            await eventually(lambda: field.value("SELECT hold_reason LIKE 'row_locked%' FROM pgbackfill.ranges"))
            for _ in range(3):
                await field.execute(EXPIRE)  # the daemon looks for ranges more often than a lane renews its lease
                await eventually(lambda: field.value("SELECT lease_until > clock_timestamp() FROM pgbackfill.ranges"))
    assert await field.value("SELECT epoch FROM pgbackfill.ranges") == 1
    assert await field.drain() == 0
    assert await field.rows(COUNTS) == ONCE


async def test_of_many_preparers_one_cuts_the_ranges(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    job = await started(field, table_name="t1")
    made: list[bool] = []

    async def compete(control: Connection, work: Connection) -> None:
        made.append(await prepare.prepare(control, work, job))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(compete, await database.connect(), await database.connect())
    assert sorted(made) == [False, False, False, True]
    assert await field.value("SELECT count(*) FROM pgbackfill.ranges") == 1


async def test_a_range_of_a_live_lease_is_not_given_away(database: Any) -> None:
    steps = await Steps.begin(await Field.open(database, *TABLE), table_name="t1")
    assert await ranges.open_ranges(steps.field.connection) == {steps.job.id: OpenRanges(free=0, held=1)}
    assert await claimed(steps.field, steps.job) is None
    await steps.field.execute(EXPIRE)
    assert await ranges.open_ranges(steps.field.connection) == {steps.job.id: OpenRanges(free=1, held=0)}
    assert await claimed(steps.field, steps.job) is not None


async def test_every_chunk_renews_the_lease_on_the_databases_clock(database: Any) -> None:
    steps = await Steps.begin(await Field.open(database, *TABLE), table_name="t1")
    await steps.field.execute(EXPIRE)
    await steps.run(5)
    left = await steps.field.value("SELECT extract(epoch FROM lease_until - clock_timestamp()) FROM pgbackfill.ranges")
    assert 20 < left <= steps.chunk.lease_s


async def test_a_worker_that_lost_its_lease_can_do_nothing(database: Any) -> None:
    old = await Steps.begin(await Field.open(database, *TABLE), table_name="t1")
    await old.run(5)
    await old.field.execute(EXPIRE)
    new = await _another(old)
    assert new.claim.epoch == old.claim.epoch + 1
    row = await old.field.rows("SELECT r.* FROM pgbackfill.ranges r")
    connection = old.field.connection
    with pytest.raises(LeaseLost):
        await old.run(5)
    with pytest.raises(LeaseLost):
        await old.chunk.set_aside(PacingOptions(), asyncpg.DataError("bad row"))
    assert not await ranges.renew(connection, old.claim, lease_s=30)
    assert not await ranges.show_hold(connection, old.claim, "replica_lag 6s > 5s", lease_s=30)
    assert not await ranges.release(connection, old.claim)
    assert not await ranges.skip(connection, old.claim)
    assert await old.field.rows("SELECT r.* FROM pgbackfill.ranges r") == row
    assert await new.finish(5) == 35
    assert await old.field.rows(COUNTS) == ONCE


async def test_an_epoch_alone_opens_no_door(database: Any) -> None:
    """Across an asynchronous failover the same epoch can be given twice; the token cannot."""
    steps = await Steps.begin(await Field.open(database, *TABLE), table_name="t1")
    claim = steps.claim
    for wrong in (replace(claim, token=b"x" * 16), replace(claim, epoch=claim.epoch + 1), replace(claim, epoch=0)):
        steps.chunk.claim = wrong
        with pytest.raises(LeaseLost):
            await steps.run(5)
        assert not await ranges.renew(steps.field.connection, wrong, lease_s=30)
    assert await steps.field.rows(COUNTS) == [(0, 40)]


async def test_an_open_chunk_keeps_every_successor_out(database: Any) -> None:
    """The zombie's lease ran out, but its transaction is open: nobody is given the range until it ends."""
    steps = await Steps.begin(await Field.open(database, *TABLE), table_name="t1")
    other = await database.connect()
    async with anyio.create_task_group() as tasks, other.transaction():
        await other.execute("SELECT FROM t1 WHERE id = 3 FOR UPDATE")
        tasks.start_soon(partial(steps.run, 5, lock_timeout_ms=20_000))
        await eventually(lambda: steps.field.value(STUCK))
        # By force, as nobody waits for a lease to run out in a test; its row is locked like any other.
        assert await claimed(steps.field, steps.job) is None
        assert not await ranges.renew(steps.field.connection, steps.claim, lease_s=30)
    assert await steps.field.rows(COUNTS) == [(0, 35), (1, 5)]
    await steps.field.execute(EXPIRE)
    assert await (await _another(steps)).finish(5) == 35
    assert await steps.field.rows(COUNTS) == ONCE


async def test_a_zombie_killed_inside_a_chunk_leaves_its_rows_to_the_successor(database: Any) -> None:
    steps = await Steps.begin(await Field.open(database, *TABLE), table_name="t1")
    await steps.run(5)
    other = await database.connect()

    async def die() -> None:
        with pytest.raises(LOST):
            await steps.run(5, lock_timeout_ms=20_000)

    async with anyio.create_task_group() as tasks, other.transaction():
        await other.execute("SELECT FROM t1 WHERE id = 8 FOR UPDATE")
        tasks.start_soon(die)
        await steps.field.value("SELECT pg_terminate_backend($1)", await eventually(lambda: steps.field.value(STUCK)))
    await steps.field.execute(EXPIRE)
    assert await (await _another(steps)).finish(5) == 35
    assert await steps.field.rows(COUNTS) == ONCE


async def test_the_last_door_is_fenced_too(database: Any) -> None:
    steps = await Steps.begin(await Field.open(database, *TABLE), table_name="t1")
    claim, before = steps.claim, await steps.field.rows("SELECT r.* FROM pgbackfill.ranges r")
    for epoch, token in ((claim.epoch + 1, claim.token), (claim.epoch, b"x" * 16)):
        for call in (
            "end_chunk($1, $2, $3, '{5}', 5, 5, 0, 5, 1, 0, NULL, 30, true)",
            "quarantine_row($1, $2, $3, '{1}', '22012', 'division by zero', 30)",
        ):
            rows = await steps.field.rows(f"SELECT * FROM pgbackfill.{call}", claim.range_id, epoch, token)
            assert rows == []
    assert await steps.field.rows("SELECT r.* FROM pgbackfill.ranges r") == before
    assert await steps.field.rows("SELECT * FROM pgbackfill.quarantine") == []


async def test_the_token_is_kept_by_its_holder_alone(database: Any) -> None:
    """Neither in the table, nor where everybody may read what the others run, nor in a log of the claim."""
    steps = await Steps.begin(await Field.open(database, *TABLE), table_name="t1")
    token = steps.claim.token
    assert await steps.field.value("SELECT token_hash = sha256($1) FROM pgbackfill.ranges", token)
    assert repr(token) not in repr(steps.claim)
    await steps.run(5)
    other = await database.connect()
    async with anyio.create_task_group() as tasks, other.transaction():
        await other.execute("SELECT FROM t1 WHERE id = 8 FOR UPDATE")
        tasks.start_soon(partial(steps.run, 5, lock_timeout_ms=20_000))
        await eventually(lambda: steps.field.value(STUCK))
        public = str(await steps.field.rows("SELECT a::text FROM pg_stat_activity a"))
        public += str(await steps.field.rows("SELECT r::text FROM pgbackfill.ranges r"))
    assert token.hex() not in public
    assert repr(token)[2:-1] not in public


async def test_a_second_daemon_takes_over_what_a_dead_one_left(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    dead = await Steps.begin(field, table_name="t1")
    await dead.run(5)
    async with field.daemon(), field.daemon():
        await eventually(lambda: field.value("SELECT count(*) = 2 FROM pgbackfill.workers"))
        assert await field.rows(COUNTS) == [(0, 35), (1, 5)]
        await field.execute(EXPIRE)
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows(COUNTS) == ONCE
    assert await field.value("SELECT epoch FROM pgbackfill.ranges") == 2


KILL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'pgbackfill/%'
"""


@pytest.mark.newest
async def test_lost_connections_neither_lose_nor_repeat_a_row(database: Any) -> None:
    field = await Field.open(database, TABLE[0], "INSERT INTO t1 SELECT generate_series(1, 4000)")
    await field.enqueue(table_name="t1", options={"chunk_max_rows": 20})
    chunks = "SELECT chunk_no > $1 FROM pgbackfill.ranges"
    async with field.daemon():
        for reached in (5, 20, 40, 70):
            await eventually(partial(field.value, chunks, reached))
            await field.value(KILL)
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows("SELECT n, count(*) FROM t1 GROUP BY 1") == [(1, 4000)]


async def test_a_commit_of_unknown_outcome_is_looked_up(database: Any) -> None:
    """The backend dies while COMMIT waits for a standby: the client hears nothing, yet the chunk is committed."""
    field = await Field.open(database, *TABLE)
    steps = await Steps.begin(field, table_name="t1")
    await steps.run(5)
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"

    async def lose() -> None:
        with pytest.raises(LOST):
            await steps.run(5, synchronous_commit="on")

    async with _nobody_answers(field), anyio.create_task_group() as tasks:
        tasks.start_soon(lose)
        await field.value("SELECT pg_terminate_backend($1)", await eventually(lambda: field.value(waiting)))
    assert await field.rows("SELECT chunk_no, cursor_key FROM pgbackfill.ranges") == [(2, ["10"])]
    await ranges.release(field.connection, steps.claim)
    assert await field.drain() == 0
    assert await field.rows(COUNTS) == ONCE


@asynccontextmanager
async def _nobody_answers(field: Field) -> AsyncIterator[None]:
    """Whoever commits with synchronous_commit = on waits for a standby that does not exist."""
    awaited = "SELECT setting = $1 FROM pg_settings WHERE name = 'synchronous_standby_names'"
    try:
        await field.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await field.execute("SELECT pg_reload_conf()")
        await eventually(lambda: field.value(awaited, "nobody"))
        yield
    finally:
        await field.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await field.execute("SELECT pg_reload_conf()")
        await eventually(lambda: field.value(awaited, ""))


async def test_a_last_chunk_of_unknown_outcome_ends_the_job(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(table_name="t1", options={"synchronous_commit": "on", "chunk_max_rows": 50})
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"
    async with _nobody_answers(field), field.daemon():
        await field.value("SELECT pg_terminate_backend($1)", await eventually(lambda: field.value(waiting)))
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows(COUNTS) == ONCE


@pytest.mark.newest
@pytest.mark.parametrize("own_login", [False, True], ids=["one login", "a work login"])
async def test_a_chunk_that_fell_silent_in_the_middle_of_the_protocol_is_ended(database: Any, own_login: bool) -> None:
    """Between Parse and Bind the server takes the backend for active: no time-out for idle transactions comes."""
    field = await Field.open(database, *TABLE)
    settings: dict[str, Any] = {"lease_s": 5}
    dsn = database.dsn
    if own_login:
        dsn = settings["work_dsn"] = await database.login("pgbackfill_worker")
        await field.execute(f"GRANT SELECT, UPDATE ON t1 TO {dsn.split('//')[1].split(':')[0]}")
    job = await started(field, table_name="t1")
    assert await prepare.prepare(field.connection, await database.connect(), job)
    claim = await claimed(field, job)
    assert claim is not None
    await field.execute(EXPIRE)  # the lease is over, the lock will not be
    silent = await database.connect(dsn, server_settings={"application_name": "pgbackfill/work"})
    await silent.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 1000")
    begun = "SELECT * FROM pgbackfill.begin_chunk($1, $2, $3)"
    assert await silent.fetchrow(begun, claim.range_id, claim.epoch, claim.token) is not None
    parse = b"\0SELECT 1\0\0\0"
    silent._transport.write(b"P" + (len(parse) + 4).to_bytes(4, "big") + parse + b"H\0\0\0\4")
    async with field.daemon(**settings):
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows(COUNTS) == ONCE
    assert await field.value("SELECT epoch FROM pgbackfill.ranges") == claim.epoch + 1
