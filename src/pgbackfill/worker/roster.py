"""Which jobs there are, and which of their ranges this process works on."""

from __future__ import annotations

import anyio
import anyio.abc
import structlog

from pgbackfill.database import jobs, prepare, ranges
from pgbackfill.database.link import UNREACHABLE, Link, lost
from pgbackfill.database.types import Connection
from pgbackfill.errors import JobFailed

from .context import Context
from .lane import Lane

log = structlog.get_logger()


class Roster:
    """Looks at the job table on every ring of the bell and at every poll: settles, starts, prepares, claims."""

    def __init__(self, context: Context, lanes: anyio.abc.TaskGroup) -> None:
        self._context = context
        self._group = lanes
        self._work = Link(context.connect_work)
        self._unreachable = False

    async def run(self) -> None:
        """Until the context stops."""
        bell = self._context.bell
        while not self._context.stopping:
            rings = bell.rings
            try:
                await self.tick()
                if self._unreachable:
                    self._unreachable = False
                    log.info("database reachable again")
            except Exception as error:
                if not lost(error):
                    raise
                if not self._unreachable:  # logged once on entry and once on recovery
                    self._unreachable = True
                    log.warning("database unreachable", error=str(error))
            if bell.rings == rings:
                await bell.wait(self._context.settings.poll_s)
        await self._work.close()

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
        for job in [job for job in self._context.jobs.values() if not job.prepared and job.desired_state == "run"]:
            reason = await prepare.waits_for(control, job)
            if reason is not None:
                await jobs.set_wait_reason(control, job.id, reason)
                continue
            try:
                async with self._work.use() as work:
                    prepared = await prepare.prepare(control, work, job)
            except JobFailed as error:
                await jobs.fail(control, job.id, str(error))
                log.error("job failed", job=job.name, error=str(error))
                continue
            if prepared:
                log.info("job prepared", job=job.name)
                await self._refresh(control)

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
    except UNREACHABLE:
        return False
    if any(job.due for job in pending):
        return False
    for job in pending:
        log.info("job left", job=job.name, status=job.status, reason="paused" if job.status == "paused" else "not due")
    return True
