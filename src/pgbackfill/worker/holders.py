"""Finds out who holds a lock, while a chunk waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.link import Link, passing
from pgbackfill.database.queries import load

AGAIN_S = 0.02
"""A chunk waits for lock_timeout_ms (100) at least, so there are several looks."""


@asynccontextmanager
async def looking(control: Link, chunk: ChunkTransaction, after_s: float, found: list[int]) -> AsyncIterator[None]:
    """While the block runs, asks from `after_s` on who blocks the chunk, until somebody does; `found` gets them."""
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_look, control, chunk, after_s, found)
        try:
            yield
        except Exception as error:  # raised again below: a task group would wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _look(control: Link, chunk: ChunkTransaction, after_s: float, found: list[int]) -> None:
    await anyio.sleep(after_s)
    while not found:
        # The backend's own process id, not the connection's, which behind a pooler is the pooler's.
        if chunk.backend is not None:
            found += await _holders(control, chunk.backend.pid)
        await anyio.sleep(AGAIN_S)


async def _holders(control: Link, pid: int) -> list[int]:
    try:
        # Not cancelled with the chunk: that would cost the connection.
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            async with control.use() as connection:
                pids: list[int] = await connection.fetchval(load("signals")["lock_holders"], pid)
                return pids
    except Exception as error:
        if not passing(error):
            raise
    return []  # the hold goes without a name
