"""Cuts started jobs into ranges, and says why one has to wait."""

from __future__ import annotations

from dataclasses import asdict

import anyio.abc
import asyncpg
import structlog

from pgbackfill.database import hazards, jobs, prepare, rights
from pgbackfill.database.failures import first_line, hold_reason
from pgbackfill.database.hazards import Hazard
from pgbackfill.database.link import Link, passing
from pgbackfill.database.types import Connection
from pgbackfill.errors import JobFailed
from pgbackfill.jobs.job import Job

from .both import both
from .context import Context
from .slots import Slot, Slots

log = structlog.get_logger()


class Preparation:
    """Part of every look of the roster. Each job is prepared by a task and on connections of its own: a table that
    somebody has locked delays its own job and no other."""

    def __init__(self, context: Context, group: anyio.abc.TaskGroup, slots: Slots) -> None:
        self._context = context
        self._group = group
        self._slots = slots
        self._at_work: set[int] = set()
        self._held: dict[str, str] = {}
        """Jobs that cannot begin yet, and the first word of the reason."""

    async def run(self, control: Connection) -> None:
        """One look at every job that has no ranges yet."""
        unprepared = [job for job in self._context.jobs.values() if not job.prepared and job.desired_state == "run"]
        for job in unprepared:
            if job.id in self._at_work:
                continue
            reason = await prepare.waits_for(control, job)
            if reason is None:
                self._at_work.add(job.id)
                self._group.start_soon(self._prepare, job)
            else:
                await self._show_hold(control, job, reason)
        # Before a lane is made: from then on the job's hold is the lanes' to show.
        for name in self._held.keys() - {job.name for job in unprepared}:
            log.info("hold ended", job=name, reason=self._held.pop(name))
            self._context.metrics.hold(name, None)

    async def _prepare(self, job: Job) -> None:
        try:
            reason = await self._cut(job)
            if reason is not None:
                async with self._context.control.use() as control:
                    await self._show_hold(control, job, reason)
        except Exception as error:
            if not passing(error):
                raise
            log.debug("job not looked at", job=job.name, reason=hold_reason(error))  # the roster says it aloud
        finally:
            self._at_work.discard(job.id)

    async def _cut(self, job: Job) -> str | None:
        """Makes the job's ranges, or fails it; answers why it has to wait, if it has to."""
        control, slot = Link(self._context.control.connect), self._slots.take(job)
        try:
            prepared = await self._prepared(control, slot, job)
        except JobFailed as error:
            await self._fail(job, str(error))
            return None
        except Exception as error:
            if passing(error):
                return hold_reason(error)
            if not isinstance(error, asyncpg.PostgresError):
                raise
            await self._fail(job, f"{first_line(error)} (SQLSTATE {error.sqlstate}) before the first chunk")
            return None
        finally:
            await self._slots.give_back(job, slot)
            self._context.bell.ring()  # the lanes need not wait for farewells
            await control.close()
        if prepared:
            log.info("job prepared", job=job.name, ranges=prepared)
        return None

    async def _prepared(self, control: Link, slot: Slot, job: Job) -> int:
        """Looks at rights, hazards and bounds, and stores the ranges; how many, 0 where another daemon was faster.

        The catalogs are read beside the table: a new connection plans their queries for 15 ms.
        """
        options = job.pacing(self._context.settings.pacing)

        async def catalogs() -> hazards.Seen:
            async with control.use() as own:
                return await hazards.look(own, job, options)

        async def table() -> tuple[rights.Seen, prepare.Ranges | None]:
            async with slot.link.use() as work:
                seen = await rights.look(work, job)
                if seen.refused:
                    return seen, None
                return seen, await prepare.survey(work, job, parallelism=options.parallelism, first=seen.walk)

        dangers, (seen, found) = await both(catalogs, table)
        async with control.use() as own, slot.link.use() as work:
            await rights.judge(own, work, job, seen)
            assert found is not None, "what was refused has failed the job"
            told = await hazards.judge(own, work, job, dangers, walk=seen.walk)
            slot.keep(seen.walk)
            prepared = await prepare.store(own, job, found)
            if prepared:
                await self._tell(own, job, told)
        return prepared

    async def _tell(self, control: Connection, job: Job, found: list[Hazard]) -> None:
        """Once a job: in the log, and as an event, which `pgbackfill status` shows."""
        for hazard in found:
            log.warning("hazard", job=job.name, kind=hazard.kind, detail=hazard.detail)
        if found:
            await jobs.note(control, job.id, "hazards", hazards=[asdict(hazard) for hazard in found])

    async def _fail(self, job: Job, error: str) -> None:
        self._context.worked_on[job.id] = job.name
        async with self._context.control.use() as control:
            failed = await jobs.fail(control, job.id, error)
        if failed:
            log.error("job failed", job=job.name, error=error)
        self._context.bell.ring()

    async def _show_hold(self, control: Connection, job: Job, reason: str) -> None:
        """Says why the job has not begun: in the progress view at each look, in the log once."""
        kind = reason.split(" ")[0]
        if self._held.get(job.name) != kind:
            self._held[job.name] = kind
            log.info("held", job=job.name, reason=reason)
            self._context.metrics.hold(job.name, reason)
        await jobs.set_wait_reason(control, job.id, reason)
