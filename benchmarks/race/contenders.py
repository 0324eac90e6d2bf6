"""Who runs: a policy over our own chunk statement, the real daemon, or nobody."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import anyio
import asyncpg

from benchmarks.harness.daemon import DaemonFailed, running
from pgbackfill.keyset.key import KeyColumn, Lower
from pgbackfill.keyset.statement import Change

from .courses import DAEMON, NOBODY, Course
from .policies import GRID, POLICIES, Policy
from .reaction import Look, look, slowdown
from .stage import Stage

CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError, asyncpg.SerializationError)
POLL_S = 0.1
"""How often a job's status is read: rarely, since nobody reads the table of a fixed setting beside it."""
READY_TIMEOUT_S = 30.0
JOB = "race"

SESSION = """
SET plan_cache_mode = force_custom_plan; SET enable_seqscan = off; SET enable_bitmapscan = off;
SET synchronous_commit = off
"""
"""As in a chunk of ours."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was committed: `rows` in `chunks`, of which `retries` met a lock; `ended` is Unix time of the last.

    `looks` is what the daemon showed of lag and pace around a link's slowing down.
    """

    rows: int
    chunks: int
    retries: int
    ended: float
    finished: bool
    looks: list[Look] = field(default_factory=list)


Work = Callable[[float], Awaitable[Outcome]]
"""Works for at most so many seconds from the call on."""


@contextlib.asynccontextmanager
async def ready(name: str, stage: Stage, course: Course) -> AsyncIterator[Work]:
    """The contender, up and waiting for the start."""
    if name == NOBODY:
        yield lambda seconds: _nobody(course)
    elif name == DAEMON:
        async with _daemon(stage, course) as work:
            yield work
    else:
        policy = (POLICIES | GRID)[name].make()
        async with stage.connected() as connection, heartbeat_lag(stage) as lag:
            await connection.execute(SESSION)
            yield lambda seconds: _walk(connection, course, policy, lag, seconds)


async def _nobody(course: Course) -> Outcome:
    await anyio.sleep(course.alone_s)
    return Outcome(0, 0, 0, time.time(), finished=True)


@contextlib.asynccontextmanager
async def heartbeat_lag(stage: Stage) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """Reads the heartbeat row where the standby has it."""
    standby = await asyncpg.connect(stage.replica.dsn())
    query = await standby.prepare("SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM heartbeat")

    async def lag() -> float:
        return float(await query.fetchval())

    try:
        yield lag
    finally:
        await standby.close()


async def _walk(
    connection: asyncpg.Connection,
    course: Course,
    policy: Policy,
    lag: Callable[[], Awaitable[float]],
    seconds: float,
) -> Outcome:
    """Chunk after chunk of the dense key, each one statement that commits; a deadlock's victim tries again."""
    change = Change(
        JOB,
        "update",
        "public.users",
        (KeyColumn("id", "bigint"),),
        set_clause=course.set_clause,
        where_clause=f"{course.column} IS NULL",
    )
    deadline = anyio.current_time() + seconds
    cursor = chunks = retries = 0
    ended = time.time()
    while cursor < course.rows and anyio.current_time() < deadline:
        end = min(cursor + policy.rows, course.rows)
        statement = change.change_range(Lower((str(cursor),), inclusive=False), (str(end),), measured=False)
        began = time.perf_counter()
        try:
            await connection.execute(statement.sql, *statement.arguments)
        except CONFLICTS:
            retries += 1
            continue
        took = time.perf_counter() - began
        rows, cursor, chunks, ended = end - cursor, end, chunks + 1, time.time()
        if cursor < course.rows:
            with anyio.move_on_at(deadline):
                await policy.between(rows, took, lag)
    finished = cursor >= course.rows
    return Outcome(cursor, chunks, retries, ended if finished else time.time(), finished)


@contextlib.asynccontextmanager
async def _daemon(stage: Stage, course: Course) -> AsyncIterator[Work]:
    """`pgbackfill run` with default settings, its job one INSERT; it is up before the start, as a daemon is."""
    async with stage.connected() as connection, running(stage.dsn) as (process, _, port):
        with anyio.fail_after(READY_TIMEOUT_S):
            while not await connection.fetchval("SELECT EXISTS (SELECT FROM pgbackfill.workers)"):
                if process.returncode is not None:
                    raise DaemonFailed(f"pgbackfill run ended with exit code {process.returncode}")
                await anyio.sleep(POLL_S)

        async def work(seconds: float) -> Outcome:
            looks: list[Look] = []
            async with anyio.create_task_group() as tasks:
                if (at_s := slowdown(course.schedule)) is not None:
                    tasks.start_soon(look, port, time.time(), at_s, looks)
                outcome = await job(seconds)
                tasks.cancel_scope.cancel()
            return replace(outcome, looks=looks)

        async def job(seconds: float) -> Outcome:
            await connection.execute(
                "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, where_clause)"
                " VALUES ($1, 'public.users', $2, $3)",
                JOB,
                course.set_clause,
                f"{course.column} IS NULL",
            )
            if await _until(connection, {"succeeded"}, seconds):
                return await _outcome(connection, finished=True)
            # Its last chunk may end in this very moment.
            await connection.execute(
                "UPDATE pgbackfill.jobs SET desired_state = 'pause' WHERE name = $1 AND status <> 'succeeded'", JOB
            )
            stopped = time.time()
            status = await _until(connection, {"paused", "succeeded"}, READY_TIMEOUT_S)
            if status is None:
                raise DaemonFailed(f"the job did not pause within {READY_TIMEOUT_S:g} s")
            outcome = await _outcome(connection, finished=status == "succeeded")
            return outcome if outcome.finished else replace(outcome, ended=stopped)

        yield work


async def _until(connection: asyncpg.Connection, wanted: set[str], seconds: float) -> str | None:
    """Which of the wanted states the job came to in so many seconds."""
    deadline = anyio.current_time() + seconds
    while anyio.current_time() < deadline:
        job = await connection.fetchrow("SELECT status, error FROM pgbackfill.jobs WHERE name = $1", JOB)
        assert job is not None, "nobody deletes the job"
        if job["status"] == "failed":
            raise DaemonFailed(f"the job failed: {job['error']}")
        if job["status"] in wanted:
            return str(job["status"])
        await anyio.sleep(POLL_S)
    return None


async def _outcome(connection: asyncpg.Connection, *, finished: bool) -> Outcome:
    row = await connection.fetchrow(
        "SELECT sum(r.rows_changed)::bigint AS rows, sum(r.chunk_no)::bigint AS chunks,"
        " coalesce(extract(epoch FROM j.finished_at), 0)::float8 AS ended"
        " FROM pgbackfill.jobs AS j JOIN pgbackfill.ranges AS r ON r.job_id = j.id WHERE j.name = $1 GROUP BY j.id",
        JOB,
    )
    assert row is not None, "a job that ran has ranges"
    return Outcome(row["rows"], row["chunks"], 0, row["ended"], finished)
