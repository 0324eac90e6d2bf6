"""The HTTP interface over a real socket, in front of a control plane that keeps its jobs in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import anyio
import httpx

from pgbackfill.errors import DatabaseUnavailable, UsageError
from pgbackfill.http import create_app, serve
from pgbackfill.metrics import Metrics
from pgbackfill.settings import HttpSettings
from pgbackfill.worker.pauses import Pauses
from pgbackfill.worker.throttle import Throttle

TOKEN = "correct-horse-battery"


class Plane:
    """A daemon with one job and no database."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.pauses = Pauses()
        self.desired = "run"
        self.down: str | None = None
        self.broken = False
        self.limit = Throttle()
        self.asked: object = None

    def row(self) -> dict[str, Any]:
        return {
            "name": "users-email",
            "desired_state": self.desired,
            "percent": Decimal("12.5"),
            "eta_high": float("inf"),
            "started_at": datetime(2026, 1, 2, tzinfo=UTC),
            "error": "could not connect to postgres://app:hunter22@db/x",
        }

    async def jobs(self) -> list[dict[str, Any]]:
        if self.broken:
            raise RuntimeError("secret internals")
        if self.down:
            raise DatabaseUnavailable(self.down)
        return [self.row()]

    async def job(self, name: str) -> dict[str, Any] | None:
        return self.row() if name == "users-email" else None

    def history(self, name: str, since: float) -> dict[str, Any] | None:
        self.asked = since
        return {"name": name, "points": {"at": [1.0]}} if name == "users-email" else None

    async def command(self, name: str, action: str, *, duration: timedelta | None = None) -> dict[str, Any]:
        if name != "users-email":
            raise LookupError(name)
        if action == "retry":
            raise UsageError("The job users-email is running; only a failed or cancelled job can be tried again.")
        self.desired = {"pause": "pause", "resume": "run", "cancel": "cancel"}[action]
        self.asked = duration
        return self.row()

    async def throttle_job(self, name: str, ratio: float, duration: timedelta) -> dict[str, Any]:
        if name != "users-email":
            raise LookupError(name)
        self.asked = (ratio, duration)
        return self.row()

    async def unthrottle_job(self, name: str) -> dict[str, Any]:
        self.asked = "unthrottle"
        return self.row()

    def signals(self) -> list[dict[str, Any]]:
        return [{"name": "replica_lag", "value": float("nan"), "level": "unknown"}]

    def pause(self, holder: str, duration: timedelta | None = None) -> object:
        self.asked = duration
        return self.pauses.pause(holder)

    def throttle(self, ratio: float, duration: timedelta) -> None:
        self.limit.begin(ratio, duration.total_seconds())

    def unthrottle(self) -> bool:
        return self.limit.end()

    def throttled(self) -> dict[str, Any]:
        return {"throttle_ratio": self.limit.ratio, "throttle_seconds_left": self.limit.until}

    def resume(self, holder: str) -> object:
        return self.pauses.resume(holder)

    def paused_by(self) -> tuple[str, ...]:
        return self.pauses.holders

    async def readiness(self) -> str | None:
        return self.down


@asynccontextmanager
async def listening(plane: Plane, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    http = HttpSettings(**{"port": 0, **settings})
    async with anyio.create_task_group() as group:
        port = await group.start(serve, create_app(plane, http), http)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
        group.cancel_scope.cancel()
