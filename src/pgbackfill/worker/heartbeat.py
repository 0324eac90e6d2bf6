"""The daemon's row in `pgbackfill.workers`: a committed write and a read a second, more while chunks run.

It says that the daemon lives, replicas show by it how far they are, and how long it takes is what a foreground query
feels (the canaries). It beats while jobs are held, and from the start: a baseline has to exist before the first chunk.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from math import inf
from typing import Any

import anyio
import asyncpg
import structlog
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from pgbackfill import __version__
from pgbackfill.control.signals import Level
from pgbackfill.database import retention
from pgbackfill.database.failures import hold_reason
from pgbackfill.database.link import UNREACHABLE, Link, lost, passing
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.jsonable import plain

from .context import Context
from .silent import end_silent

log = structlog.get_logger()

MISSED_BEATS = 5
"""A daemon that has missed this many beats is not counted any more."""

QUIET_BEATS = 3
"""With no query of others for so many beats, latency is ours alone."""

CANARIES_PER_BEAT = 10
"""The value is a mean of several canaries (control/latency.py): so many tell within a second that a foreground gets
busier. With four and with ten a second a steady job beside a full processor was as fast, and others as slow."""

FIRST_BEATS = 3
"""The baseline is the mean of the first two seconds (control/latency.py), and one query a second makes none."""

TIMEOUT_S = 2.0
"""A canary that takes longer is given up, and counts as one that took so long."""

ALWAYS_SHOWN = frozenset({"replica_lag", "canary_read", "canary_write"})
LEVELS = (Level.UNKNOWN, Level.HARD, Level.SOFT, Level.OK)
SHOWN_MOST = 12
"""Some 100 bytes each: the row must not become one that the server stores out of line."""

PRUNE_EVERY_S = 3600.0


async def register(context: Context) -> None:
    """Takes a worker id; where the server has no room for the row, the next beat tries again.

    Raises what the control link raises where the database cannot be reached.
    """
    try:
        async with context.control.use() as control:
            context.worker_id = await _register(control, context)
    except asyncpg.PostgresError as error:
        if lost(error) or not passing(error):
            raise
        log.warning("worker not registered yet", reason=hold_reason(error))


async def _register(control: Connection, context: Context) -> int:
    worker_id: int = await control.fetchval(
        load("workers")["register"], socket.gethostname(), os.getpid(), __version__, context.handlers.names
    )
    return worker_id


class Heart:
    """One per daemon, on a connection of its own, which stays warm: connecting is not what a query feels."""

    def __init__(self, context: Context, link: Link) -> None:
        self._context = context
        self._link = link
        self._warm = 0
        self._pruned = -inf
        self._beats = 0

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started after one beat. One that fails is followed by the next."""
        took = await self._beat()
        task_status.started()
        while True:
            await self._sing_until(self._context.now() + self._context.settings.heartbeat_s - took)
            took = await self._beat()

    async def _sing_until(self, beat: float) -> None:
        """More often than once a beat: while chunks run, what they do to others, and at first, what is usual."""
        context, pause = self._context, self._context.settings.heartbeat_s / CANARIES_PER_BEAT
        while context.now() + pause < beat:
            await anyio.sleep(pause)
            if context.lanes or self._beats <= FIRST_BEATS:
                await self._canary("canary_write", self._write)
                await self._canary("canary_read", self._read)
        await anyio.sleep(max(0.0, beat - context.now()))

    async def _beat(self) -> float:
        """The seconds that it took."""
        began = self._context.now()
        self._beats += 1
        await self._canary("canary_write", self._write)
        await self._canary("canary_read", self._read)
        try:
            async with self._link.use() as connection:
                await self._divide(connection)
                await self._look_around(connection)
                await end_silent(connection, lease_s=self._context.settings.lease_s)
                await self._prune(connection)
        except Exception as error:
            if not (lost(error) or isinstance(error, asyncpg.PostgresError)):
                raise
            log.debug("house-keeping failed", error=str(error))
        return self._context.now() - began

    async def _canary(self, name: str, sing: Callable[[Connection], Awaitable[None]]) -> None:
        """Measures one query. What fails is unknown; what takes too long is at least as slow as that."""
        context, seconds = self._context, None
        try:
            async with self._link.use() as connection:
                if self._warm != self._link.generation:
                    await self._read(connection)
                    self._warm = self._link.generation
                began = time.perf_counter()  # the event loop's own clock may tick by the millisecond
                await sing(connection)
                seconds = time.perf_counter() - began
        except TimeoutError:
            seconds = TIMEOUT_S
        except Exception as error:
            if not (lost(error) or isinstance(error, asyncpg.PostgresError)):
                raise
            context.notes.tell(name, f"The heartbeat failed: {error}")
        else:
            context.notes.clear(name)
        context.governor.observe_latency(name, seconds, now=context.now(), interval=context.settings.heartbeat_s)

    async def _write(self, connection: Connection) -> None:
        # synchronous_commit stays what the database gives a session: where foreground commits wait for a replica, so
        # must this one, or it would not notice.
        context = self._context
        values = (context.worker_id, len(context.lanes), list(context.pauses.holders), _seen(context))
        stamp = await connection.fetchval(load("workers")["heartbeat"], *values, timeout=TIMEOUT_S)
        if stamp is None:
            context.worker_id = await _register(connection, context)  # pruned, or lost in a failover
        else:
            context.beats.written(stamp, now=context.now())

    async def _read(self, connection: Connection) -> None:
        await connection.fetchval(load("workers")["beat_of"], self._context.worker_id, timeout=TIMEOUT_S)

    async def _divide(self, connection: Connection) -> None:
        """Counts the lanes of the other daemons: those that have missed as many beats as may be lost count as alive."""
        context = self._context
        alive_s = MISSED_BEATS * context.settings.heartbeat_s
        others = await connection.fetchval(load("workers")["lanes_of_others"], context.worker_id, alive_s)
        context.lanes_of_others = others
        context.divide()

    async def _look_around(self, connection: Connection) -> None:
        within_s = QUIET_BEATS * self._context.settings.heartbeat_s
        self._context.governor.observe_others(await connection.fetchval(load("workers")["others_query"], within_s))

    async def _prune(self, connection: Connection) -> None:
        """The house-keeping that any daemon does now and then: at every beat until nothing old is left."""
        now, settings = self._context.now(), self._context.settings
        if now - self._pruned >= PRUNE_EVERY_S and await retention.prune(
            connection, events_days=settings.event_retention_days, jobs_days=settings.job_retention_days
        ):
            self._pruned = now


def _seen(context: Context) -> str:
    """What people want to see at a distance, as JSON: replicas, canaries, and every signal that is not well."""
    shown = [
        {**asdict(signal), "age_s": None}
        for signal in context.governor.signals(context.now())
        if signal.name in ALWAYS_SHOWN or signal.level is not Level.OK
    ]
    worst_first = sorted(shown, key=lambda signal: LEVELS.index(signal["level"]))
    return json.dumps([plain(_without_none(signal)) for signal in worst_first[:SHOWN_MOST]])


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "")}


async def deregister(context: Context) -> None:
    """Takes the row away again; if that fails, another daemon does it in a day."""
    try:
        async with context.control.use() as control:
            await control.execute(load("workers")["deregister"], context.worker_id)
    except (asyncpg.PostgresError, *UNREACHABLE):
        log.debug("worker row left behind")
