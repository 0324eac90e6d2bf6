"""What HTTP may see of the daemon and do to it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import structlog

from pgbackfill.database import reports
from pgbackfill.database.link import Link, lost
from pgbackfill.database.migrate import check_schema
from pgbackfill.database.types import Connection
from pgbackfill.errors import DatabaseUnavailable

from .context import Context
from .history import INTERVAL_S, KEPT_S, columns

log = structlog.get_logger()


class Plane:
    """On a connection of its own, so that a pause does not wait behind whatever the roster is doing."""

    def __init__(self, context: Context, link: Link) -> None:
        self._context = context
        self._link = link
        self.metrics = context.metrics

    async def jobs(self) -> Sequence[Mapping[str, Any]]:
        """The rows of `pgbackfill.progress`."""
        async with self._database() as connection:
            return await reports.progress(connection)

    async def job(self, name: str) -> Mapping[str, Any] | None:
        """One job with its ranges, latest events and quarantine counts; None where there is no such job."""
        async with self._database() as connection:
            try:
                return await reports.job(connection, name)
            except reports.UnknownJob:
                return None

    def history(self, name: str, since: float) -> Mapping[str, Any] | None:
        """The last hour of a job as series of one point in `interval_s`; None where there is no such job.

        Asks no database, so that it can be seen while that is away.
        """
        context, now = self._context, time.time()
        if name not in context.history and name not in context.shown:
            return None
        points = context.history.points(name, now=now, since=since)
        return {
            "name": name,
            "now": round(now, 3),
            "interval_s": INTERVAL_S,
            "kept_s": KEPT_S,
            "limits": self._limits(name),
            "points": columns(points),
        }

    def _limits(self, name: str) -> Mapping[str, Mapping[str, float | None]]:
        """Of lag those of the job where it is running, of latency those of this process."""
        context = self._context
        running = [job for job in context.jobs.values() if job.name == name]
        pacing = running[0].pacing(context.settings.pacing) if running else context.settings.pacing
        limits = {"lag_s": {"soft": pacing.lag_soft_s, "hard": pacing.lag_hard_s}}
        for signal in context.governor.signals(context.now()):
            if signal.name in ("canary_read", "canary_write") and signal.soft is not None and signal.hard is not None:
                limits[f"{signal.name}_s"] = {"soft": signal.soft, "hard": signal.hard}
        return limits

    async def command(
        self, name: str, action: reports.Action, *, duration: timedelta | None = None
    ) -> Mapping[str, Any]:
        """Calls `pgbackfill.<action>(name)`. Raises LookupError for an unknown job, UsageError where it cannot."""
        async with self._database_of(name) as connection:
            return await reports.command(connection, name, action, duration=duration)

    async def throttle_job(self, name: str, ratio: float, duration: timedelta) -> Mapping[str, Any]:
        """Raises LookupError for an unknown job, UsageError where it cannot be throttled so."""
        async with self._database_of(name) as connection:
            await reports.throttle(connection, name, ratio, duration)
            return await reports.progress_of(connection, name)

    async def unthrottle_job(self, name: str) -> Mapping[str, Any]:
        """Raises LookupError for an unknown job."""
        async with self._database_of(name) as connection:
            await reports.unthrottle(connection, name)
            return await reports.progress_of(connection, name)

    def signals(self) -> Sequence[Mapping[str, Any]]:
        """Every signal with value, limits, age and level; `detail` says why one cannot be read, and what would help."""
        context = self._context
        rows = [asdict(signal) for signal in context.governor.signals(context.now())]
        notes = {(note.signal, note.about): note for note in context.notes}
        for row in rows:
            note = notes.pop((row["name"], row["detail"]), None) or notes.pop((row["name"], ""), None)
            if note is not None:
                row["detail"] = f"{row['detail']}: {note.sentence}" if note.about else note.sentence
        nothing = {"value": None, "unit": "", "soft": None, "hard": None, "age_s": None}
        rows += [
            {"name": note.signal, "level": "absent" if note.absent else "unknown", "detail": note.sentence, **nothing}
            for note in notes.values()
        ]
        return rows

    def pause(self, holder: str, duration: timedelta | None = None) -> bool:
        seconds = None if duration is None else duration.total_seconds()
        log.info("paused", by=holder, **({} if seconds is None else {"seconds": seconds}))
        return self._context.pauses.pause(holder, None if seconds is None else self._context.now() + seconds)

    def resume(self, holder: str) -> bool:
        changed = self._context.pauses.resume(holder)
        log.info("resumed", by=holder, still_paused_by=self._context.pauses.holders)
        return changed

    def paused_by(self) -> Sequence[str]:
        return self._context.pauses.holders

    def throttle(self, ratio: float, duration: timedelta) -> None:
        log.info("throttled", by="http", ratio=ratio, seconds=duration.total_seconds())
        self._context.throttle.begin(ratio, self._context.now() + duration.total_seconds())

    def unthrottle(self) -> bool:
        changed = self._context.throttle.end()
        if changed:
            log.info("throttle ended", by="http")
        return changed

    def throttled(self) -> Mapping[str, Any]:
        """Share of the pace that this process leaves its jobs, and for how many seconds yet (None: no throttle)."""
        throttle = self._context.throttle
        left = None if throttle.until is None else max(0.0, round(throttle.until - self._context.now(), 1))
        return {"throttle_ratio": throttle.ratio, "throttle_seconds_left": left}

    async def readiness(self) -> str | None:
        """None when the database is reachable and its schema current, else why not."""
        try:
            async with self._database() as connection:
                await check_schema(connection)
        except DatabaseUnavailable as error:
            return str(error)
        return None

    @asynccontextmanager
    async def _database_of(self, name: str) -> AsyncIterator[Connection]:
        async with self._database() as connection:
            try:
                yield connection
            except reports.UnknownJob as error:
                raise LookupError(name) from error

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Connection]:
        try:
            async with self._link.use() as connection:
                yield connection
        except Exception as error:
            if isinstance(error, DatabaseUnavailable) or not lost(error):
                raise
            raise DatabaseUnavailable(f"the database is not reachable: {error}") from error
