"""One claimed step: keeps its lease, waits as the pace says, tries again what passes, fails the job with the rest."""

from __future__ import annotations

import random
from typing import Any

import anyio
import asyncpg
import structlog

from pgbackfill import finalize, verify
from pgbackfill.control.controller import Controller
from pgbackfill.control.decision import ChunkSample, Outcome, RunChunk
from pgbackfill.database import jobs, steps
from pgbackfill.database.connect import connect
from pgbackfill.database.dsn import parse
from pgbackfill.database.failures import first_line, hold_reason
from pgbackfill.database.link import UNREACHABLE, Link, passing
from pgbackfill.database.steps import Blocked, Step
from pgbackfill.errors import JobFailed, LeaseLost
from pgbackfill.jobs.failures import Failure, classify
from pgbackfill.jobs.job import Job
from pgbackfill.verify.place import Place

from .context import Context
from .holds import JobHolds

AGAIN_FIRST_S = 0.25
AGAIN_MOST_S = 10.0
"""Doubling between these, as lanes do."""

LOOK_S = 0.5
"""How soon somebody's pause is seen when nobody rings, and how often a hold is refreshed."""


class StepRun:
    """The daemon's side of a step; `database.steps.Guide` is what the step sees of it."""

    def __init__(self, context: Context, job: Job, step: Step) -> None:
        self.job = job
        self.options = job.pacing(context.settings.pacing)
        self.control = Link(context.control.connect)
        self.work = Link(context.connect_work)
        self._context = context
        self._step = step
        self._controller = Controller(context.governor, self.options)
        self._holds = JobHolds(job.name, context.metrics)
        self._log = structlog.get_logger().bind(job=job.name, step=step.kind)
        self._scope = anyio.CancelScope()
        self._touched = context.now()
        self._again_s = AGAIN_FIRST_S
        self._reason: str | None = None
        self._in_trouble = False
        """Whether the last attempt failed: another one does not show that its cause is over, only work does."""
        self._replicas = [self._replica(dsn.get_secret_value()) for dsn in context.settings.replica_dsns]

    def update(self, job: Job | None) -> None:
        """Takes in what somebody changed in the job's row; a job that is not to go on stops, whatever runs."""
        if job is None or job.desired_state != "run":
            self._scope.cancel()
            return
        self.job = job
        self.options = job.pacing(self._context.settings.pacing)
        self._controller.update(self.options)

    async def run(self) -> None:
        """To the end of the step, or until it may no longer be worked on; then gives it back."""
        self._log.info("step begun", ordinal=self._step.ordinal, epoch=self._step.epoch)
        failure: Exception | None = None
        lost = False
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep)
            try:
                with self._scope:
                    await self._attempts()
            except LeaseLost as error:
                lost = True
                self._log.warning("lease lost", reason=str(error))
            except Exception as error:  # raised again below: a task group would wrap it
                failure = error
            group.cancel_scope.cancel()
        self._holds.change(self._step.id, None, self._log, now=self._context.now())
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            if not lost:
                await self._give_back()
            for link in (self.control, self.work, *(place.link for place in self._replicas)):
                await link.close()
        if failure is not None:
            raise failure

    async def _attempts(self) -> None:
        while True:
            try:
                return await self._attempt()
            except JobFailed as error:
                return await self._fail(str(error))
            except Blocked as error:
                await self._wait(str(error))
            except (asyncpg.PostgresError, *UNREACHABLE) as error:
                if not passing(error):
                    return await self._fail(f"{first_line(error)} (SQLSTATE {getattr(error, 'sqlstate', None)})")
                self._failed(error)
                await self._wait(hold_reason(error))

    async def _attempt(self) -> None:
        if self._step.kind == "verify":
            await verify.run(self._step, self, self._replicas)
        else:
            await finalize.run(self._step, self)
        self._log.info("step ended", ordinal=self._step.ordinal)

    async def permission(self) -> int:
        """Waits until the pace lets work be done; how many rows may be looked at now."""
        while True:
            reason = self._context.pauses.reason
            self._controller.throttle(min(self.job.throttle_ratio, self._context.throttle.ratio))
            decision = self._controller.next(now=self._context.now())
            if reason is None and isinstance(decision, RunChunk):
                if not self._in_trouble:
                    await self._show(None)
                return decision.rows
            reason = reason or getattr(decision, "reason", None)
            if reason is not None:
                await self._show(reason)
            await self._context.bell.wait(LOOK_S if reason is not None else getattr(decision, "seconds", LOOK_S))

    def spent(self, rows: int, seconds: float) -> None:
        """What the last piece of work has cost."""
        sample = ChunkSample(Outcome.COMMITTED, rows, rows, 0, 0, seconds)
        self._controller.finished(sample, now=self._context.now())

    async def worked(self) -> None:
        """What kept a statement from its work is over. Raises LeaseLost."""
        self._in_trouble, self._again_s = False, AGAIN_FIRST_S
        await self._show(None)

    async def store(self, state: dict[str, Any], share: float | None) -> None:
        """Keeps where the step is. Raises LeaseLost."""
        async with self.control.use() as control:
            await steps.store(control, self._step, state, share, self._context.settings.lease_s)
        self._touched = self._context.now()

    async def tell(self, event: str, **detail: Any) -> None:
        """Writes an event of the job, and the log."""
        self._log.info(event.replace("_", " "), **detail)
        async with self.control.use() as control:
            await jobs.note(control, self.job.id, event, **detail)

    def _failed(self, error: BaseException) -> None:
        """Fewer rows at the next attempt, where rows can be to blame."""
        if classify(getattr(error, "sqlstate", None)) is Failure.SLOW:
            sample = ChunkSample(Outcome.RETRY, self._controller.rows, 0, 0, 0, 0.0)
            self._controller.finished(sample, now=self._context.now())

    async def _wait(self, reason: str) -> None:
        """Until the next attempt, longer each time; with jitter, so that two parties do not meet again in step."""
        self._in_trouble = True
        try:
            await self._show(reason)
        except Exception as another:
            if not passing(another):
                raise
        await anyio.sleep(random.uniform(self._again_s / 2, self._again_s))
        self._again_s = min(2 * self._again_s, AGAIN_MOST_S)

    async def _show(self, reason: str | None) -> None:
        """In the progress view at every look, in the log once."""
        if reason is None and self._reason is None:
            return
        async with self.control.use() as control:
            await steps.hold(control, self._step, reason, self._context.settings.lease_s)
        self._touched = self._context.now()
        self._holds.change(self._step.id, reason, self._log, now=self._context.now())
        self._reason = reason

    async def _keep(self) -> None:
        """Renews the lease while a statement runs for long, and ends the step when the daemon is to stop."""
        context = self._context
        while not context.stopping:
            await context.bell.wait(LOOK_S)
            if context.now() - self._touched > context.settings.lease_s / 3:
                try:
                    async with context.control.use() as control:
                        await steps.show(control, self._step, None, context.settings.lease_s)
                    self._touched = context.now()
                except LeaseLost:
                    break
                except Exception as error:
                    if not passing(error):
                        raise
        self._scope.cancel()

    async def _fail(self, error: str) -> None:
        said = f"step {self._step.ordinal} ({self._step.kind}): {error}" if self._step.ordinal else error
        # Together: a job whose steps are all at an end would be taken for a success in between.
        async with self.control.use() as control, control.transaction():
            await jobs.fail(control, self.job.id, said)
            await steps.fail(control, self._step)
        self._log.error("job failed", error=said)

    async def _give_back(self) -> None:
        try:
            async with self._context.control.use() as control:
                await steps.release(control, self._step)
        except Exception as error:
            if not passing(error):
                raise
            self._log.warning("lease could not be released", hint="it runs out by itself")

    def _replica(self, dsn: str) -> Place:
        where = ",".join(f"{host}:{port}" for host, port in parse(dsn).hosts)
        return Place(where, Link(lambda: connect(dsn, settings=self._context.settings, purpose="verify")))
