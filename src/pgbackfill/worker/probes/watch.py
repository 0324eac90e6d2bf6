"""Keeps the probes running that the settings ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.abc

from pgbackfill.database.link import Link
from pgbackfill.settings import Settings
from pgbackfill.settings_signals import CustomSql
from pgbackfill.worker.context import Context

from .aurora import watch_aurora
from .custom import CustomProbe
from .promql import PromqlProbe
from .sources import SOURCES
from .standby import Standby
from .threshold import ThresholdProbe

Opens = Callable[[str, str | None], Link]
"""Makes a link for a purpose to a DSN (None: the primary's), which the probe closes."""

Run = Callable[[], Awaitable[None]]

LOOK_S = 1.0


class Watch:
    """Starts and ends probes when the settings are read again; those that did not change go on."""

    def __init__(self, context: Context, shared: Link, opens: Opens) -> None:
        self._context = context
        self._shared = shared
        self._opens = opens
        self._running: dict[object, anyio.CancelScope] = {}

    async def run(self) -> None:
        """Until cancelled."""
        seen: Settings | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(watch_aurora, self._context, self._opens("aurora", None))
            while True:
                if seen is not self._context.settings:
                    seen = self._context.settings
                    self._reconcile(group, seen)
                await self._context.bell.wait(LOOK_S)

    def _reconcile(self, group: anyio.abc.TaskGroup, settings: Settings) -> None:
        wanted = self._wanted(settings)
        for key in [key for key in self._running if key not in wanted]:
            self._running.pop(key).cancel()
        for key, run in wanted.items():
            if key not in self._running:
                scope = self._running[key] = anyio.CancelScope()
                group.start_soon(_scoped, scope, run)

    def _wanted(self, settings: Settings) -> dict[object, Run]:
        """By everything that would make it another probe."""
        context = self._context
        wanted: dict[object, Run] = {}
        for source in SOURCES:
            threshold = getattr(settings.signals, source.name)
            if threshold.enabled:
                probe = ThresholdProbe(context, source, threshold, self._shared)
                wanted[source.name, threshold.model_dump_json()] = probe.run
        for secret in settings.replica_dsns:
            dsn = secret.get_secret_value()
            wanted["replica", dsn] = partial(self._standby, dsn)
        for custom in settings.custom_sql:
            if custom.enabled:
                wanted["custom_sql", custom.model_dump_json()] = partial(self._custom, custom)
        for query in settings.promql:
            if query.enabled:
                wanted["promql", query] = PromqlProbe(context, query).run
        return wanted

    async def _standby(self, dsn: str) -> None:
        await Standby(self._context, dsn, self._opens("replica", dsn)).run()

    async def _custom(self, signal: CustomSql) -> None:
        await CustomProbe(self._context, signal, self._opens(f"signal {signal.name}", None)).run()


async def _scoped(scope: anyio.CancelScope, run: Run) -> None:
    with scope:
        await run()
