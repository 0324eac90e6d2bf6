"""The daemon's row in `pgbackfill.workers`, and the house-keeping that any daemon does now and then."""

from __future__ import annotations

import os
import socket
from math import inf

import anyio
import asyncpg
import structlog

from pgbackfill import __version__
from pgbackfill.database.failures import hold_reason
from pgbackfill.database.link import UNREACHABLE, lost, passing
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection

from .context import Context

log = structlog.get_logger()

MISSED_BEATS = 3
"""A daemon that has missed this many beats is not counted any more."""

PRUNE_EVERY_S = 3600.0
DAY_S = 86_400.0


async def register(context: Context) -> None:
    """Takes a worker id; where the server has no room for the row, the next beat tries again.

    Raises what the control link raises where the database cannot be reached.
    """
    try:
        async with context.control.use() as control:
            context.worker_id = await _register(control)
    except asyncpg.PostgresError as error:
        if lost(error) or not passing(error):
            raise
        log.warning("worker not registered yet", reason=hold_reason(error))


async def _register(control: Connection) -> int:
    worker_id: int = await control.fetchval(load("workers")["register"], socket.gethostname(), os.getpid(), __version__)
    return worker_id


async def beat(context: Context) -> None:
    """Until cancelled. A beat that fails is followed by the next one."""
    pruned = -inf
    while True:
        try:
            async with context.control.use() as control:
                values = (context.worker_id, len(context.lanes), list(context.pauses.holders))
                if await control.fetchval(load("workers")["heartbeat"], *values) is None:
                    context.worker_id = await _register(control)  # pruned, or lost in a failover
                await _divide(control, context)
                if context.now() - pruned > PRUNE_EVERY_S:
                    await _prune(control, context)
                    pruned = context.now()
        except Exception as error:
            if not (lost(error) or isinstance(error, asyncpg.PostgresError)):
                raise
            log.debug("heartbeat failed", error=str(error))
        await anyio.sleep(context.settings.heartbeat_s)


async def _divide(control: Connection, context: Context) -> None:
    """Counts the lanes of the other daemons: those that have missed as many beats as may be lost count as alive."""
    alive_s = MISSED_BEATS * context.settings.heartbeat_s
    context.lanes_of_others = await control.fetchval(load("workers")["lanes_of_others"], context.worker_id, alive_s)
    context.divide()


async def _prune(control: Connection, context: Context) -> None:
    settings = context.settings
    await control.execute(load("workers")["prune_workers"])
    await control.execute(load("jobs")["prune_events"], settings.event_retention_days * DAY_S)
    if settings.job_retention_days is not None:
        await control.execute(load("jobs")["prune_jobs"], settings.job_retention_days * DAY_S)


async def deregister(context: Context) -> None:
    """Takes the row away again; if that fails, another daemon does it in a day."""
    try:
        async with context.control.use() as control:
            await control.execute(load("workers")["deregister"], context.worker_id)
    except (asyncpg.PostgresError, *UNREACHABLE):
        log.debug("worker row left behind")
