"""Somebody else's traffic on the same table: rows are born, touched, deleted and moved while they are backfilled."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import asyncpg

from .questions import QUESTIONS

SESSIONS = 2
PAUSE_S = 0.01
RECONNECT_S = 0.1
GONE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@asynccontextmanager
async def foreground(dsn: Callable[[], str], rows: int, seed: int) -> AsyncIterator[None]:
    """While the block runs. Sessions that break are opened again, where `dsn` then leads to."""
    async with anyio.create_task_group() as tasks:
        for session in range(SESSIONS):
            tasks.start_soon(_session, dsn, rows, random.Random(f"{seed}/{session}"))
        yield
        tasks.cancel_scope.cancel()


async def _session(dsn: Callable[[], str], rows: int, chance: random.Random) -> None:
    while True:
        connection = None
        try:
            connection = await asyncpg.connect(dsn(), timeout=5, command_timeout=10)
            while True:
                await _deed(connection, rows, chance)
                await anyio.sleep(PAUSE_S)
        except GONE:
            pass
        finally:
            if connection is not None:
                connection.terminate()
        await anyio.sleep(RECONNECT_S)


async def _deed(connection: asyncpg.Connection, rows: int, chance: random.Random) -> None:
    """One transaction. Half of what is touched is near a few hot keys."""
    key = 2 * chance.randint(1, rows)
    odd = 2 * chance.randint(1, rows) - 1
    match chance.choices(("touch", "bear", "delete", "move"), (6, 2, 1, 1))[0]:
        case "touch":
            hot = 2 * (rows * chance.randint(1, 9) // 10)
            await connection.execute(QUESTIONS["touch"], [key, hot] if chance.random() < 0.5 else [hot, key])
        case "bear":
            await connection.execute(QUESTIONS["bear"], odd)
        case "delete":
            await connection.execute(QUESTIONS["delete"], key)
        case _:
            await connection.execute(QUESTIONS["move"], key, odd)
