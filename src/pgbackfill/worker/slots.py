"""What a lane keeps when it goes from one range of a job to the next."""

from __future__ import annotations

from pgbackfill.control.controller import Controller
from pgbackfill.control.floor import Floor
from pgbackfill.database.catalog import Walk
from pgbackfill.database.link import Link
from pgbackfill.jobs.job import Claim, Job

from .breaker import Breaker, Streak
from .context import Context
from .holds import JobHolds
from .rate import Rate


class Shared:
    """What all lanes of a job have in common in this daemon."""

    def __init__(self, context: Context, job: Job) -> None:
        self.holds = JobHolds(job.name, context.metrics)
        self.floor = Floor()
        self.breaker = Breaker()


class Slot:
    """Connection, chunk size and pace, rows per second, failures in a row; and what it shares with the other lanes."""

    def __init__(self, context: Context, job: Job, shared: Shared) -> None:
        self.controller = Controller(context.governor, job.pacing(context.settings.pacing))
        self.link = Link(context.connect_work)
        self.rate = Rate(now=context.now())
        self.streak = Streak()
        self.holds = shared.holds
        self.floor = shared.floor
        self.breaker = shared.breaker
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
        self._shared: dict[int, Shared] = {}
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
        shared = self._shared.get(job.id) or self._shared.setdefault(job.id, Shared(self._context, job))
        return Slot(self._context, job, shared)

    async def give_back(self, job: Job, slot: Slot) -> None:
        """Its lane has ended; the next range may come at once, so the connection stays open."""
        if self._closed:
            await slot.link.close()
        else:
            self._idle.setdefault(job.id, []).append(slot)

    async def tidy(self) -> None:
        """After ranges were handed out: closes connections for which there was none; forgets jobs that have ended."""
        at_work = {lane.job.id for lane in self._context.lanes.values()}
        ended = (self._shared.keys() | self._idle.keys()) - self._context.jobs.keys() - at_work
        for job_id, idle in list(self._idle.items()):
            for slot in list(idle):
                # A lane that ended during this very look is looked after by the next one.
                if slot.spare or self._closed or job_id in ended:
                    await slot.link.close()
                slot.spare = True
        for job_id in ended:
            self._shared.pop(job_id, None)
            for slot in self._idle.pop(job_id, []):  # one may have been given back while others were closed
                await slot.link.close()

    async def close(self) -> None:
        """From now on slots are closed when they are given back."""
        self._closed = True
        await self.tidy()
