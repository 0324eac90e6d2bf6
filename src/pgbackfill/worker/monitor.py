"""Polls the primary and its replicas, and shows every signal in the metrics."""

from __future__ import annotations

from math import inf

import asyncpg
import structlog
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from pgbackfill.control.signals import Level, SignalStatus
from pgbackfill.database.link import Link, lost

from .context import Context
from .probes.replicas import POLL_S, Primary

log = structlog.get_logger()


class Monitor:
    """One per daemon, on a connection of its own: a slow chunk must not delay a look at the replicas."""

    def __init__(self, context: Context, link: Link) -> None:
        self._context = context
        self._primary = Primary(context, link)
        self._failing = False
        self._shown: tuple[set[str], set[str]] = (set(), set())
        context.metrics.refresh = self._show

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started after one poll. One that fails leaves signals to grow old, and old is unknown."""
        await self._look()
        task_status.started()
        while True:
            await self._context.bell.wait(POLL_S)
            await self._look()

    async def _look(self) -> None:
        try:
            await self._primary.poll()
            if self._failing:
                log.info("signals readable again")
            self._failing = False
        except Exception as error:
            if not (lost(error) or isinstance(error, asyncpg.PostgresError)):
                raise
            if not self._failing:
                log.warning("signals unreadable", error=str(error))
            self._failing = True

    def _show(self) -> None:
        context = self._context
        now = context.now()
        # Several replicas are one signal each; a gauge without a replica label has to show the worst of them.
        worst: dict[str, SignalStatus] = {}
        for signal in context.governor.signals(now):
            if signal.name not in worst or _badness(signal) > _badness(worst[signal.name]):
                worst[signal.name] = signal
        for signal in worst.values():
            context.metrics.signal(signal.name, _known(signal), signal.soft, signal.hard, signal.age_s)
        replicas = context.governor.replicas(now)
        for replica in replicas:
            context.metrics.replica(replica.name, replica.lag_s, replica.backlog_bytes)
        signals_before, replicas_before = self._shown
        self._shown = set(worst), {replica.name for replica in replicas}
        for name in signals_before - self._shown[0]:
            context.metrics.forget_signal(name)
        for name in replicas_before - self._shown[1]:
            context.metrics.forget_replica(name)
        context.metrics.pace(context.governor.pace(context.settings.pacing, now=now), context.governor.capacity)


def _known(signal: SignalStatus) -> float | None:
    """The value, where it may still be believed: what was last read of a replica that vanished looks healthy."""
    return None if signal.level is Level.UNKNOWN else signal.value


def _badness(signal: SignalStatus) -> float:
    value = _known(signal)
    return inf if value is None else value
