"""DDL on a table in use: its locks are taken at once or not at all, so that nobody queues behind a waiting one."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar

import anyio
import asyncpg

from pgbackfill.errors import PgbackfillError

from .queries import load
from .types import Connection

T = TypeVar("T")

WORK_MS: Final = 10_000
"""Longest statement once the locks are held. What is done then touches catalogs only."""

PAUSE_FIRST_S: Final = 0.1
PAUSE_MOST_S: Final = 5.0

NOT_NOW: Final = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,  # a lock of many tables takes as many waits; statement_timeout bounds their sum
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


class LocksNotTaken(PgbackfillError):
    """Somebody held the table for too long."""


@dataclass(frozen=True, slots=True)
class Patience:
    """`lock_timeout_ms`: longest wait of one attempt, which others queue behind; `total_s`: all attempts together."""

    lock_timeout_ms: int = 100
    total_s: float = 60.0


async def locked(
    connection: Connection,
    tables: Sequence[str],
    mode: str,
    work: Callable[[], Awaitable[T]],
    patience: Patience,
) -> T:
    """Runs `work` in one transaction that holds the lock `mode` on `tables` (quoted names), and commits.

    Tries again, after a pause of up to 5 s, where the locks cannot be had at once. `work` may run several times, each
    time after a rollback. Raises LocksNotTaken with the sessions that hold them.
    """
    give_up, pause = monotonic() + patience.total_s, PAUSE_FIRST_S
    while True:
        try:
            async with connection.transaction(isolation="read_committed"):
                await _set(connection, lock_timeout=patience.lock_timeout_ms)
                await _set(connection, statement_timeout=patience.lock_timeout_ms)
                await connection.execute("SET LOCAL search_path TO pg_catalog, pg_temp")
                if tables:
                    await connection.execute(f"LOCK TABLE {', '.join(tables)} IN {mode} MODE")
                await _set(connection, statement_timeout=WORK_MS)
                return await work()
        except NOT_NOW as error:
            if monotonic() + pause > give_up:
                raise LocksNotTaken(await _sentence(connection, tables, patience)) from error
        await anyio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(PAUSE_MOST_S, pause * 1.5)


async def _set(connection: Connection, **milliseconds: int) -> None:
    for name, value in milliseconds.items():
        await connection.execute(f"SET LOCAL {name} = {value}")


async def _sentence(connection: Connection, tables: Sequence[str], patience: Patience) -> str:
    holders = [row["holder"] for row in await connection.fetch(load("bounded")["holders"], list(tables))]
    who = f"held by {' and '.join(holders)}" if holders else "in use by ever new transactions"
    return (
        f"The lock on {', '.join(tables)} could not be had within {patience.total_s:g} s: {who}; "
        "nothing was changed, run the command again when that has ended."
    )
