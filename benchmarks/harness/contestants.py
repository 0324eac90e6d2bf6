"""The two sides of every comparison: one plain statement, and the daemon. Each run starts from a fresh copy."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable

import asyncpg

from .daemon import JobRun, drain
from .pairs import Contestant, Measurement
from .tables import Case, fresh_copy, verify

_run_numbers = itertools.count(1)


async def _wal_position(connection: asyncpg.Connection) -> int:
    # The insert position, not the write position: the latter lags behind by what is still in the WAL buffers.
    return int(await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def contestant(
    connection: asyncpg.Connection, case: Case, rows: int, work: Callable[[], Awaitable[float]]
) -> Contestant:
    """Wraps `work`, which answers the seconds that count, in a fresh copy before and a verification after."""

    async def measured() -> Measurement:
        await fresh_copy(connection, case)
        before = await _wal_position(connection)
        seconds = await work()
        wal_bytes = await _wal_position(connection) - before
        await verify(connection, case, rows)
        return Measurement(seconds, wal_bytes)

    return measured


def timed(work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[float]]:
    """The wall-clock seconds of `work`."""

    async def run() -> float:
        began = time.perf_counter()
        await work()
        return time.perf_counter() - began

    return run


def plain(connection: asyncpg.Connection, dsn: str, case: Case, rows: int) -> Contestant:
    """One statement that changes the whole table, its commit included, in a session of its own.

    The daemon's sessions are new, too. One that has made the copy has its pages of shared memory mapped already, which
    saves it a fault for every four kilobytes: a third of a statement that hardly changes a row.
    """

    async def work() -> float:
        session = await asyncpg.connect(dsn, command_timeout=None)
        try:
            return await timed(lambda: session.execute(case.plain_update))()
        finally:
            await session.close()

    return contestant(connection, case, rows, work)


def daemon(
    connection: asyncpg.Connection,
    dsn: str,
    case: Case,
    rows: int,
    seen: Callable[[JobRun], None] = lambda run: None,
) -> Contestant:
    """The daemon with default settings; from started_at to finished_at, so without its start. `seen` gets each run."""

    async def work() -> float:
        name = f"bench-{case.name}-{int(time.time())}-{next(_run_numbers)}"
        run = await drain(dsn, connection, case, name, rows)
        seen(run)
        return run.seconds

    return contestant(connection, case, rows, work)
