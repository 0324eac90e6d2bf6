"""LISTEN, so that enqueue, pause and resume act at once; without it the roster's poll covers them."""

from __future__ import annotations

import anyio
import structlog

from pgbackfill.database.connect import is_pooler
from pgbackfill.database.link import Link, passing

from .context import Context

log = structlog.get_logger()

CHECK_S = 5.0
"""How often a silent connection is asked whether it still lives."""

RETRY_S = 2.0


async def listen(context: Context, link: Link) -> None:
    """Rings the bell on every notification. A lost connection is replaced; a pooler's is left to other clients."""
    while True:
        try:
            async with link.use() as connection:
                if await is_pooler(connection):
                    log.info("not listening through a pooler", hint="PGBACKFILL_DIRECT_DSN leads past it")
                    break
                await connection.add_listener("pgbackfill", lambda *_: context.bell.ring())
                context.bell.ring()  # what was missed while nobody listened
                while not connection.is_closed():
                    await anyio.sleep(CHECK_S)
                    await connection.execute("SELECT")
        except Exception as error:
            if not passing(error):
                raise
            log.debug("listener lost", error=str(error))
        await anyio.sleep(RETRY_S)
    await link.close()
