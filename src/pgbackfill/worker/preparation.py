"""Cuts started jobs into ranges, and says why one has to wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from pgbackfill.database import jobs, prepare, rights
from pgbackfill.database.failures import hold_reason
from pgbackfill.database.link import Link
from pgbackfill.database.types import Connection
from pgbackfill.errors import JobFailed
from pgbackfill.jobs.failures import Failure, classify
from pgbackfill.jobs.job import Job

from .context import Context

log = structlog.get_logger()


class Preparation:
    """Part of every look of the roster. `refresh` reads the running jobs again after one has changed."""

    def __init__(self, context: Context, refresh: Callable[[Connection], Awaitable[None]]) -> None:
        self._context = context
        self._refresh = refresh
        self._work = Link(context.connect_work)
        self._held: dict[str, str] = {}
        """Jobs that cannot begin yet, and the first word of the reason."""

    async def close(self) -> None:
        await self._work.close()

    async def run(self, control: Connection) -> None:
        """One look at every job that has no ranges yet."""
        for job in self._unprepared():
            reason = await prepare.waits_for(control, job)
            if reason is None:
                reason = await self._cut(control, job)
            if reason is not None:
                await self._show_hold(control, job, reason)
        # Before a lane is made: from then on the job's hold is the lanes' to show.
        for name in self._held.keys() - {job.name for job in self._unprepared()}:
            log.info("hold ended", job=name, reason=self._held.pop(name))
            self._context.metrics.hold(name, None)

    def _unprepared(self) -> list[Job]:
        return [job for job in self._context.jobs.values() if not job.prepared and job.desired_state == "run"]

    async def _cut(self, control: Connection, job: Job) -> str | None:
        """Makes the job's ranges, or fails it; answers why it has to wait, if it has to."""
        parallelism = job.pacing(self._context.settings.pacing).parallelism
        try:
            async with self._work.use() as work:
                await rights.check(control, work, job)
                prepared = await prepare.prepare(control, work, job, parallelism=parallelism)
        except JobFailed as error:
            await self._fail(control, job, str(error))
            return None
        except asyncpg.PostgresError as error:
            failure = classify(error.sqlstate)
            if failure is Failure.DISCONNECTED:
                raise
            if failure in (Failure.FATAL, Failure.POISON):
                await self._fail(control, job, f"{error.args[0]} (SQLSTATE {error.sqlstate}) before the first chunk")
                return None
            return hold_reason(error)
        if prepared:
            log.info("job prepared", job=job.name, ranges=prepared)
            await self._refresh(control)
        return None

    async def _fail(self, control: Connection, job: Job, error: str) -> None:
        self._context.worked_on[job.id] = job.name
        if await jobs.fail(control, job.id, error):
            log.error("job failed", job=job.name, error=error)
        await self._refresh(control)

    async def _show_hold(self, control: Connection, job: Job, reason: str) -> None:
        """Says why the job has not begun: in the progress view at each look, in the log once."""
        kind = reason.split(" ")[0]
        if self._held.get(job.name) != kind:
            self._held[job.name] = kind
            log.info("held", job=job.name, reason=reason)
            self._context.metrics.hold(job.name, reason)
        await jobs.set_wait_reason(control, job.id, reason)
