"""Readers of an Amazon Aurora cluster, which appear in no view of Postgres."""

from __future__ import annotations

import anyio
import asyncpg

from pgbackfill.database.link import Link, lost
from pgbackfill.database.queries import load
from pgbackfill.worker.context import Context

POLL_S = 1.0
"""Aurora refreshes these figures about once a second."""

LOOK_AGAIN_S = 60.0
TIMEOUT_S = 2.0


async def watch_aurora(context: Context, link: Link) -> None:
    """Until cancelled; ends where the function does not exist. Asked once: no other server grows it."""
    try:
        if await _exists(link):
            while True:
                await _poll(context, link)
                await anyio.sleep(POLL_S)
    finally:
        await link.close()


async def _exists(link: Link) -> bool:
    while True:
        try:
            async with link.use() as connection:
                return bool(await connection.fetchval(load("signals")["has_aurora"], timeout=TIMEOUT_S))
        except Exception as error:
            if not lost(error):
                raise
        await anyio.sleep(LOOK_AGAIN_S)


async def _poll(context: Context, link: Link) -> None:
    try:
        async with link.use() as connection:
            readers = await connection.fetch(load("signals")["aurora"], timeout=TIMEOUT_S)
    except Exception as error:
        if not (lost(error) or isinstance(error, asyncpg.PostgresError)):
            raise
        # The readers grow old, and old is unknown.
        context.notes.tell("replica_lag", f"aurora_replica_status() cannot be read: {error}", about="aurora")
        return
    context.notes.clear("replica_lag", "aurora")
    for reader in readers:
        context.governor.observe_replica(
            reader["name"], replay_lsn=None, state="streaming", lag_s=reader["lag_s"], now=context.now(),
            interval=POLL_S,
        )  # fmt: skip
