"""What a lane keeps when it goes from one range of a job to the next."""

from __future__ import annotations

from pgbackfill.control.controller import Controller
from pgbackfill.control.floor import Floor
from pgbackfill.database.catalog import Walk
from pgbackfill.database.link import Link
from pgbackfill.jobs.job import Claim, Job

from .context import Context
from .holds import JobHolds
from .rate import Rate


class Slot:
    """Connection, chunk size and pace, rows per second; and what it shares with the job's other lanes: holds, floor."""

    def __init__(self, context: Context, job: Job, holds: JobHolds, floor: Floor) -> None:
        self.controller = Controller(context.governor, job.pacing(context.settings.pacing))
        self.link = Link(context.connect_work)
        self.rate = Rate(now=context.now())
        self.holds = holds
        self.floor = floor
        self.spare = False
        """Whether a look has found no range for it."""
        self._survey: tuple[int, Walk] | None = None

    def keep(self, walk: Walk | None) -> None:
        """Remember for the first lane what preparing the job has found out, over the connection as it is now."""
        self._survey = (self.link.generation, walk) if walk is not None else None

    def surveyed(self, claim: Claim) -> Walk | None:
        """What was just found out about the table of this claim; once, and not over another connection."""
        survey, self._survey = self._survey, None
        if survey is None or survey[0] != self.link.generation or survey[1].relation != claim.relation:
            return None
        return survey[1]


class Slots:
    """The slots that no lane uses at the moment, by job."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._idle: dict[int, list[Slot]] = {}
        self._holds: dict[int, JobHolds] = {}
        self._floors: dict[int, Floor] = {}
        self._closed = False

    @property
    def jobs(self) -> set[int]:
        """Ids of the jobs on which a lane of this daemon has just ended."""
        return {job_id for job_id, idle in self._idle.items() if idle}

    def take(self, job: Job) -> Slot:
        """A slot that has worked on the job before, or a new one."""
        idle = self._idle.get(job.id)
        if idle:
            slot = idle.pop()
            slot.spare = False
            slot.controller.update(job.pacing(self._context.settings.pacing))
            return slot
        holds = self._holds.setdefault(job.id, JobHolds(job.name, self._context.metrics))
        return Slot(self._context, job, holds, self._floors.setdefault(job.id, Floor()))

    async def give_back(self, job: Job, slot: Slot) -> None:
        """Its lane has ended; the next range may come at once, so the connection stays open."""
        if self._closed:
            await slot.link.close()
        else:
            self._idle.setdefault(job.id, []).append(slot)

    async def tidy(self) -> None:
        """After ranges were handed out: closes connections for which there was none; forgets jobs that have ended."""
        at_work = {lane.job.id for lane in self._context.lanes.values()}
        ended = (self._holds.keys() | self._idle.keys()) - self._context.jobs.keys() - at_work
        for job_id, idle in list(self._idle.items()):
            for slot in list(idle):
                # A lane that ended during this very look is looked after by the next one.
                if slot.spare or self._closed or job_id in ended:
                    await slot.link.close()
                slot.spare = True
        for job_id in ended:
            for kept in (self._holds, self._floors, self._idle):
                kept.pop(job_id, None)

    async def close(self) -> None:
        """From now on slots are closed when they are given back."""
        self._closed = True
        await self.tidy()
