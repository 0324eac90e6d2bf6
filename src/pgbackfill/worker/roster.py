"""Which jobs there are, and which of their ranges this process works on."""

from __future__ import annotations

import anyio
import anyio.abc
import asyncpg
import structlog

from pgbackfill.database import jobs, prepare, ranges, rights
from pgbackfill.database.failures import hold_reason
from pgbackfill.database.link import Link, passing
from pgbackfill.database.types import Connection
from pgbackfill.errors import JobFailed
from pgbackfill.jobs.failures import Failure, classify
from pgbackfill.jobs.job import Job

from .context import Context
from .lane import Lane

log = structlog.get_logger()


class Roster:
    """Looks at the job table on every ring of the bell and at every poll: settles, starts, prepares, claims."""

    def __init__(self, context: Context, lanes: anyio.abc.TaskGroup) -> None:
        self._context = context
        self._group = lanes
        self._work = Link(context.connect_work)
        self._unusable: str | None = None
        self._held: dict[str, str] = {}
        """Jobs that cannot begin yet, and the first word of the reason."""

    async def run(self) -> None:
        """Until the context stops."""
        try:
            await self._run()
        finally:
            await self._work.close()

    async def _run(self) -> None:
        bell = self._context.bell
        while not self._context.stopping:
            rings = bell.rings
            try:
                await self.tick()
                self._reached()
            except Exception as error:
                if not passing(error):
                    raise
                reason = hold_reason(error)
                if self._unusable != reason.split(" ")[0]:  # logged once on entry and once on recovery
                    self._unusable = reason.split(" ")[0]
                    log.warning("database unusable", reason=reason)
            if bell.rings == rings:
                await bell.wait(self._context.settings.poll_s)

    def _reached(self) -> None:
        if self._unusable is None:
            return
        self._unusable = None
        log.info("database usable again")
        for lane in self._context.lanes.values():  # a long outage has made them patient
            lane.trouble.retry_now()
        self._context.bell.ring()

    async def tick(self) -> None:
        """One look. Everything here may be done by any daemon at any time, and again."""
        context = self._context
        async with context.control.use() as control:
            for settled, status in await jobs.settle(control):
                log.info("job " + status, job=settled)
            if not context.pauses.holders:
                while self._free() > 0 and (name := await jobs.start_next(control)):
                    log.info("job started", job=name)
                    await self._refresh(control)
            await self._refresh(control)
            await self._prepare(control)
            if self._free() > 0 and not context.pauses.holders:
                await self._claim(control)

    def _free(self) -> int:
        context = self._context
        waiting = sum(1 for job in context.jobs.values() if not job.prepared)
        return context.settings.max_concurrent_jobs - len(context.lanes) - waiting

    async def _refresh(self, control: Connection) -> None:
        context = self._context
        before, context.jobs = context.jobs, {job.id: job for job in await jobs.active(control)}
        for lane in context.lanes.values():
            job = context.jobs.get(lane.job.id)
            if job is not None and job != lane.job:
                lane.update(job)
            if before.get(lane.job.id) != job:
                context.bell.ring()  # a lane that sleeps should look up

    async def _prepare(self, control: Connection) -> None:
        for job in self._unprepared():
            reason = await prepare.waits_for(control, job)
            if reason is None:
                reason = await self._cut(control, job)
            if reason is not None:
                await self._show_hold(control, job, reason)
        # Before a lane is made: from then on the job's hold is the lane's to show.
        for name in self._held.keys() - {job.name for job in self._unprepared()}:
            log.info("hold ended", job=name, reason=self._held.pop(name))
            self._context.metrics.hold(name, None)

    def _unprepared(self) -> list[Job]:
        return [job for job in self._context.jobs.values() if not job.prepared and job.desired_state == "run"]

    async def _cut(self, control: Connection, job: Job) -> str | None:
        """Makes the job's ranges, or fails it; answers why it has to wait, if it has to."""
        try:
            async with self._work.use() as work:
                await rights.check(control, work, job)
                prepared = await prepare.prepare(control, work, job)
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
            log.info("job prepared", job=job.name)
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

    async def _claim(self, control: Connection) -> None:
        context = self._context
        claimable = await ranges.claimable_jobs(control)
        for job in [job for job in context.jobs.values() if job.id in claimable]:
            if self._free() <= 0:
                return
            claim = await ranges.claim(
                control,
                job.id,
                worker_id=context.worker_id,
                lease_s=context.settings.lease_s,
                parallelism=job.pacing(context.settings.pacing).parallelism,
            )
            if claim is not None:
                lane = Lane(context, job, claim)
                context.lanes[claim.range_id] = lane
                context.worked_on[job.id] = job.name
                self._group.start_soon(self._work_on, lane)

    async def _work_on(self, lane: Lane) -> None:
        try:
            await lane.run()
        finally:
            self._context.lanes.pop(lane.claim.range_id, None)
            self._context.bell.ring()  # the next range, or the end of the job


async def drained(context: Context) -> bool:
    """Whether nothing due is left; names what stays behind. False also while the database cannot be asked."""
    if context.lanes:
        return False
    try:
        async with context.control.use() as control:
            pending = await jobs.pending(control)
    except Exception as error:
        if not passing(error):
            raise
        return False
    if any(job.due for job in pending):
        return False
    for job in pending:
        log.info("job left", job=job.name, status=job.status, reason="paused" if job.status == "paused" else "not due")
    return True
