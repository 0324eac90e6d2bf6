"""A pass outside any daemon: what `pgbackfill verify` runs. It keeps and lists nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
import asyncpg

from pgbackfill.control.controller import Controller
from pgbackfill.control.decision import ChunkSample, Outcome, RunChunk
from pgbackfill.control.governor import Governor
from pgbackfill.database import jobs
from pgbackfill.database.connect import connect
from pgbackfill.database.dsn import parse
from pgbackfill.database.failures import unavailable
from pgbackfill.database.link import UNREACHABLE, Link, lost
from pgbackfill.database.migrate import check_schema
from pgbackfill.database.queries import load
from pgbackfill.database.reports import UnknownJob, translated
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError
from pgbackfill.settings import Settings

from .criterion import NotVerifiable
from .place import Place
from .tally import Tally
from .walk import Pass


@dataclass(frozen=True, slots=True)
class Found:
    """`why_not`: why nothing can be told of any row."""

    rows: int
    mismatches: int
    later: int
    quarantined: int
    place: str
    why_not: str | None = None


class _Alone:
    """A guide that knows no signals: pages that take `chunk_target_ms`, one after the other."""

    def __init__(self, settings: Settings, job: Any, control: Link, work: Link) -> None:
        self.job = job
        self.options = job.pacing(settings.pacing)
        self.control = control
        self.work = work
        self._controller = Controller(Governor(self.options), self.options)

    async def permission(self) -> int:
        while True:
            decision = self._controller.next(now=anyio.current_time())
            if isinstance(decision, RunChunk):
                return decision.rows
            await anyio.sleep(decision.seconds)

    def spent(self, rows: int, seconds: float) -> None:
        sample = ChunkSample(Outcome.COMMITTED, rows, rows, 0, 0, seconds)
        self._controller.finished(sample, now=anyio.current_time())

    async def worked(self) -> None:
        """There are no holds to end."""

    async def store(self, state: dict[str, Any], share: float | None) -> None:
        """Nobody goes on with it."""

    async def tell(self, event: str, **detail: Any) -> None:
        """The command prints what was found."""


async def verify(settings: Settings, name: str, percent: float | None) -> Found:
    """Looks at every row that the job has walked, or at those in `percent` of the blocks.

    Raises UnknownJob, UsageError, DatabaseUnavailable.
    """

    def link(dsn: str, *, primary: bool = True) -> Link:
        return Link(lambda: connect(dsn, settings=settings, purpose="verify", require_primary=primary))

    own = settings.dsn.get_secret_value()
    control, work = link(own), link(settings.work_dsn.get_secret_value() if settings.work_dsn else own)
    replicas = [
        Place(",".join(f"{host}:{port}" for host, port in parse(dsn).hosts), link(dsn, primary=False))
        for dsn in (each.get_secret_value() for each in settings.replica_dsns)
    ]
    try:
        async with control.use() as connection:
            await check_schema(connection)
            job, aside = await _job(connection, name)
        looked = Pass(_Alone(settings, job, control, work), replicas, listing=False)
        with translated():
            tally = await (looked.run(Tally()) if percent is None else looked.sample(percent))
        return Found(tally.rows, tally.mismatches, tally.later, aside, looked.place)
    except NotVerifiable as error:
        return Found(0, 0, 0, 0, "primary", str(error))
    except (asyncpg.PostgresError, *UNREACHABLE) as error:
        if not lost(error):
            raise
        raise unavailable(error, parse(own)) from error
    finally:
        for each in (control, work, *(place.link for place in replicas)):
            await each.close()


async def _job(connection: Connection, name: str) -> tuple[Any, int]:
    with translated():
        row = await connection.fetchrow(load("steps")["job_by_name"], name)
        if row is None:
            raise UnknownJob(f"There is no job {name!r}; `pgbackfill status` lists them.")
        job = jobs.job_of(row)
        if not job.prepared:
            raise UsageError(f"The job {name} has not begun, so there is nothing to verify.")
        return job, await jobs.quarantined(connection, job.id)
