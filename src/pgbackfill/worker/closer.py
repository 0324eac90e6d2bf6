"""What follows a job's last chunk: claims the steps of jobs that are being verified, and runs them."""

from __future__ import annotations

import anyio.abc
import structlog

from pgbackfill.database import jobs, steps
from pgbackfill.database.link import passing

from .context import Context
from .step_run import StepRun

log = structlog.get_logger()


class Closer:
    """One step a job at a time, each in a task and on connections of its own."""

    def __init__(self, context: Context, group: anyio.abc.TaskGroup) -> None:
        self._context = context
        self._group = group
        self._at_work: dict[int, StepRun] = {}

    async def run(self) -> None:
        """Until the context stops."""
        bell = self._context.bell
        while not self._context.stopping:
            rings = bell.rings
            try:
                await self._tick()
            except Exception as error:
                if not passing(error):
                    raise
                log.debug("steps not looked at", reason=str(error))  # the roster says it aloud
            if bell.rings == rings:
                await bell.wait(self._context.settings.poll_s)

    async def _tick(self) -> None:
        context = self._context
        async with context.control.use() as control:
            found = {job.id: job for job in await jobs.active(control, status="verifying")}
            for job_id, running in self._at_work.items():
                running.update(found.get(job_id))
            if context.pauses.holders:
                return
            for job in found.values():
                if job.id in self._at_work or job.desired_state != "run":
                    continue
                step = await steps.claim(control, job.id, worker_id=context.worker_id, lease_s=context.settings.lease_s)
                if step is not None:
                    context.worked_on[job.id] = job.name
                    self._at_work[job.id] = StepRun(context, job, step)
                    self._group.start_soon(self._work, self._at_work[job.id])

    async def _work(self, running: StepRun) -> None:
        try:
            await running.run()
        finally:
            self._at_work.pop(running.job.id, None)
            self._context.bell.ring()  # the next step, or the end of the job
