"""Which jobs there are, and which of their ranges this process works on."""

from __future__ import annotations

from collections.abc import Iterable

import anyio
import anyio.abc
import structlog

from pgbackfill.database import jobs, ranges
from pgbackfill.database.failures import hold_reason
from pgbackfill.database.link import passing
from pgbackfill.database.ranges import OpenRanges
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Job

from .context import Context
from .lane import Lane
from .preparation import Preparation
from .schedule import Schedule
from .slots import Slots
from .throttle import tell_throttle

log = structlog.get_logger()


class Roster:
    """Looks at the job table on every ring of the bell and at every poll: settles, starts, prepares, claims."""

    def __init__(self, context: Context, lanes: anyio.abc.TaskGroup) -> None:
        self._context = context
        self._group = lanes
        self._slots = Slots(context)
        self._preparation = Preparation(context, lanes, self._slots)
        self._schedule = Schedule(context)
        self._unusable: str | None = None

    async def run(self) -> None:
        """Until the context stops."""
        try:
            await self._run()
        finally:
            await self._slots.close()

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
            for resumed in await jobs.expire(control):
                log.info("job resumed", job=resumed, reason="the time of the pause was over")
            for settled, status in await jobs.settle(control, verify=context.settings.pacing.verify):
                log.info("job " + status, job=settled)
                context.bell.ring()  # it may have been the last one
            await self._refresh(control)
            if context.pauses.holders:
                await self._preparation.run(control)
            else:
                await self._take_work(control)
        self._dismiss()
        await self._slots.tidy()

    async def _take_work(self, control: Connection) -> None:
        """What this daemon has begun comes first, then what a dead one left, then new jobs, then others' jobs."""
        context = self._context
        open_ranges = await ranges.open_ranges(control)
        own = {lane.job.id for lane in context.lanes.values()} | self._slots.jobs
        left = {job_id for job_id, found in open_ranges.items() if not found.held}
        await self._claim(control, own, open_ranges)
        await self._claim(control, left, open_ranges)
        while self._room() > 0 and (name := await jobs.start_next(control, context.handlers.names)):
            log.info("job started", job=name)
            await self._refresh(control)
            await self._preparation.run(control)
        await self._preparation.run(control)
        open_ranges = await ranges.open_ranges(control)
        await self._claim(control, context.jobs, open_ranges)
        self._tell_lanes(open_ranges)

    def _room(self) -> int:
        """How many jobs more this daemon may work on; one that waits to be prepared may become its own."""
        context = self._context
        own = {lane.job.id for lane in context.lanes.values()}
        waiting = {job.id for job in context.jobs.values() if not job.prepared}
        return context.settings.max_concurrent_jobs - len(own | waiting)

    async def _refresh(self, control: Connection) -> None:
        context = self._context
        before, found = context.jobs, await jobs.active(control, context.handlers.names)
        context.jobs = {job.id: job for job in await self._schedule.allowed(control, found)}
        for running in context.jobs.values():
            tell_throttle(before.get(running.id), running)
        for lane in context.lanes.values():
            job = context.jobs.get(lane.job.id)
            if job is not None and job != lane.job:
                lane.update(job)
            if before.get(lane.job.id) != job:
                context.bell.ring()  # a lane that sleeps should look up

    async def _claim(self, control: Connection, wanted: Iterable[int], open_ranges: dict[int, OpenRanges]) -> None:
        """Opens lanes on the jobs with these ids, most urgent first, as far as the options allow."""
        for job in [job for job in self._context.jobs.values() if job.id in wanted and job.id in open_ranges]:
            lanes = len(self._lanes(job))
            for _ in range(min(open_ranges[job.id].free, self._parallelism(job) - lanes)):
                if not (self._lanes(job) or self._room() > 0) or not await self._open_lane(control, job):
                    break
                found = open_ranges[job.id]
                open_ranges[job.id] = OpenRanges(found.free - 1, found.held + 1)

    def _lanes(self, job: Job) -> list[Lane]:
        return [lane for lane in self._context.lanes.values() if lane.job.id == job.id]

    def _parallelism(self, job: Job) -> int:
        return job.pacing(self._context.settings.pacing).parallelism

    async def _open_lane(self, control: Connection, job: Job) -> bool:
        context = self._context
        claim = await ranges.claim(
            control, job.id, worker_id=context.worker_id, lease_s=context.settings.lease_s, own=context.lanes
        )
        if claim is None:
            return False
        lane = Lane(context, job, claim, self._slots.take(job))
        context.lanes[claim.range_id] = lane
        context.worked_on[job.id] = job.name
        context.divide()
        self._group.start_soon(self._work_on, lane)
        return True

    async def _work_on(self, lane: Lane) -> None:
        try:
            await lane.run()
        finally:
            self._context.lanes.pop(lane.claim.range_id, None)
            self._context.divide()
            await self._slots.give_back(lane.job, lane.slot)
            self._context.bell.ring()  # the next range, or the end of the job

    def _tell_lanes(self, open_ranges: dict[int, OpenRanges]) -> None:
        """A job's own limits are divided by its live lanes, those of other daemons included."""
        for lane in self._context.lanes.values():
            found = open_ranges.get(lane.job.id)
            lane.slot.controller.set_lanes(max(found.held if found else 0, len(self._lanes(lane.job))))

    def _dismiss(self) -> None:
        """Somebody has lowered `parallelism`: the lanes that came last end at their next chunk."""
        for job in self._context.jobs.values():
            for lane in self._lanes(job)[self._parallelism(job) :]:
                lane.dismiss()


async def drained(context: Context) -> bool:
    """Whether nothing due is left; names what stays behind. False also while the database cannot be asked."""
    if context.lanes:
        return False
    try:
        async with context.control.use() as control:
            if any(job.desired_state == "run" for job in context.jobs.values()):
                return False  # without a question, for whose answer a job that is about to begin would wait
            pending = await jobs.pending(control, context.handlers.names)
    except Exception as error:
        if not passing(error):
            raise
        return False
    if any(job.due for job in pending):
        return False
    for job in pending:
        log.info("job left", job=job.name, status=job.status, reason=job.reason)
    return True
