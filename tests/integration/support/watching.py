"""The signals of a daemon without its jobs: heartbeat, monitor and probes against a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest

from pgbackfill.control.governor import Governor
from pgbackfill.control.signals import SignalStatus
from pgbackfill.database.connect import connect
from pgbackfill.database.link import Link
from pgbackfill.database.types import Connection
from pgbackfill.metrics import Metrics
from pgbackfill.settings import Settings
from pgbackfill.worker.context import Context
from pgbackfill.worker.heartbeat import Heart, register
from pgbackfill.worker.monitor import Monitor
from pgbackfill.worker.plane import Plane
from pgbackfill.worker.probes.watch import Watch

DEADLINE_S = 60.0
FAST = {"heartbeat_s": 0.1}


async def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true answer of `condition`, which may be a coroutine function."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"never came true: {what}")
        await asyncio.sleep(0.02)


class Watching:
    """What the daemon knows; `settings` may be replaced as SIGHUP does."""

    def __init__(self, context: Context, plane: Plane) -> None:
        self.context = context
        self._plane = plane

    def signal(self, name: str, detail: str | None = None) -> SignalStatus | None:
        for signal in self.context.governor.signals(self.context.now()):
            if signal.name == name and (detail is None or signal.detail == detail):
                return signal
        return None

    def replicas(self) -> dict[str, float | None]:
        """Lag by name; None is unknown."""
        return {replica.name: replica.lag_s for replica in self.context.governor.replicas(self.context.now())}

    def shown(self, name: str) -> list[dict[str, Any]]:
        """As /api/v1/signals has it."""
        return [dict(row) for row in self._plane.signals() if row["name"] == name]

    def hold(self) -> str | None:
        hold = self.context.governor.hold(self.context.settings.pacing, now=self.context.now())
        return hold.reason if hold else None

    async def known(self, name: str, detail: str | None = None) -> SignalStatus:
        """Waits until the signal has a value."""

        def look() -> SignalStatus | None:
            signal = self.signal(name, detail)
            return signal if signal is not None and signal.level != "unknown" else None

        found: SignalStatus = await until(look, f"{name} is known")
        return found

    async def held(self, start: str) -> str:
        """Waits for a hold whose reason begins so."""
        found: str = await until(lambda: (self.hold() or "").startswith(start) and self.hold(), f"held: {start}")
        return found

    async def noted(self, name: str, text: str) -> dict[str, Any]:
        """Waits until the signal's detail contains the text."""

        def look() -> dict[str, Any] | None:
            return next((row for row in self.shown(name) if text in row["detail"]), None)

        found: dict[str, Any] = await until(look, f"{text!r} in {self.shown(name)}")
        return found

    def set(self, **settings: Any) -> None:
        """Settings read again."""
        values = self.context.settings.model_dump(exclude_unset=True) | settings
        self.context.settings = Settings(**values)


@asynccontextmanager
async def watching(dsn: str, **settings: Any) -> AsyncIterator[Watching]:
    """Everything that looks at signals, until the block ends."""
    made = Settings(**{"dsn": dsn, **FAST, **settings})
    async with AsyncExitStack() as links:

        def link(purpose: str, other: str | None = None) -> Link:
            async def opened() -> Connection:
                return await connect(other or dsn, settings=made, purpose=purpose, require_primary=other is None)

            link = Link(opened)
            links.push_async_callback(link.close)
            return link

        control = link("control")
        context = Context(made, Governor(made.pacing), Metrics(), control, control.connect)
        await register(context)
        async with anyio.create_task_group() as group:
            group.start_soon(Heart(context, link("canary")).run)
            group.start_soon(Monitor(context, link("monitor")).run)
            group.start_soon(Watch(context, link("signals"), link).run)
            yield Watching(context, Plane(context, link("http")))
            group.cancel_scope.cancel()
