"""Cancels a chunk that keeps somebody waiting for a lock, before that somebody notices."""

from __future__ import annotations

from time import perf_counter

import anyio
import structlog

from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.failures import hold_reason
from pgbackfill.database.link import Link, passing
from pgbackfill.database.outcome import Backend
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection

from .context import Context
from .silent import end_silent

log = structlog.get_logger()

WAIT_MAX_S = 0.1
"""Who has waited so long for a chunk gets through: with the look and the cancelling, 0.2 s at the most."""

POLL_S = 0.05
"""How often a running chunk is looked at; a look costs some 0.2 ms, and more only where somebody waits.

Who already waits is looked at again the moment that the time is over.
"""

YOUNG_S = 0.05
"""A chunk younger than this is not looked at: nobody can have waited for it long enough."""

SILENCE_S = 1.0
"""How often backends are looked for whose daemon is no more."""


async def watch(context: Context, link: Link) -> None:
    """Until cancelled. By the work login, which may cancel its own chunks. Failing, it tries again."""
    failing = False
    silence_at = context.now()
    while True:
        chunks = _running(context)
        pause_s = POLL_S
        try:
            if chunks:
                async with link.use() as connection:
                    pause_s = await _look(connection, chunks)
                failing = False
            # A login of its own sees and ends its own backends only; the heartbeat does it for the other one.
            if context.settings.work_dsn is not None and context.jobs and context.now() - silence_at >= SILENCE_S:
                silence_at = context.now()
                async with link.use() as connection:
                    await end_silent(connection, lease_s=context.settings.lease_s)
        except Exception as error:
            if not passing(error):
                raise
            if not failing:
                log.warning("lock waiters cannot be seen", reason=hold_reason(error))
            failing = True
        await anyio.sleep(pause_s)


def _running(context: Context) -> dict[int, tuple[ChunkTransaction, Backend]]:
    """The open chunks that are old enough, by the process id of their backend."""
    found = {}
    for lane in context.lanes.values():
        chunk = lane.chunk
        if chunk is not None and chunk.backend is not None and perf_counter() - chunk.backend.since > YOUNG_S:
            found[chunk.backend.pid] = (chunk, chunk.backend)
    return found


async def _look(connection: Connection, chunks: dict[int, tuple[ChunkTransaction, Backend]]) -> float:
    """Cancels what has to be cancelled; answers after how many seconds to look again."""
    again_s = POLL_S
    for row in await connection.fetch(load("waiters")["blocked"], list(chunks), WAIT_MAX_S - POLL_S):
        chunk, backend = chunks[row["blocker"]]
        if chunk.backend is not backend:
            continue  # it has ended meanwhile
        if row["waited_s"] < WAIT_MAX_S:
            again_s = min(again_s, WAIT_MAX_S - row["waited_s"])
            continue
        chunk.yields_to = f"pid {row['waiter']} waited {row['waited_s']:.2f}s for a row of this chunk"
        await connection.execute(load("waiters")["cancel"], backend.pid, backend.xid)
    return again_s
