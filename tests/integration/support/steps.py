"""Drives a job chunk by chunk, so that a test can do something between two chunks or inside one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from pgbackfill.control.options import PacingOptions
from pgbackfill.database import jobs, prepare, ranges
from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.outcome import ChunkResult
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Claim, Job
from pgbackfill.keyset.statement import Form
from pgbackfill.worker.walk import open_walk

from .field import Field, eventually

LEASE_S = 30.0

Transaction = TypeVar("Transaction", bound=ChunkTransaction)


@dataclass
class Steps:
    """One claimed range of one started job. `connection` runs its chunks and nothing else."""

    field: Field
    job: Job
    claim: Claim
    connection: Connection
    chunk: ChunkTransaction

    @classmethod
    async def begin(cls, field: Field, **row: Any) -> Steps:
        """Enqueues a job, starts and prepares it, and claims its first range."""
        job = await started(field, **row)
        await may_begin(field, job)
        connection = await field.database.connect()
        assert await prepare.prepare(field.connection, connection, job)
        return await cls.take(field, job, connection)

    @classmethod
    async def take(cls, field: Field, job: Job, connection: Connection | None = None) -> Steps:
        """Claims the next range of a prepared job."""
        connection = connection or await field.database.connect()
        chunk = await taken(field, job, connection)
        return cls(field, job, chunk.claim, connection, chunk)

    @property
    def form(self) -> Form:
        return self.chunk.form

    async def run(self, rows: int, **options: Any) -> ChunkResult:
        return await self.chunk.run(rows, PacingOptions(**options), sleep_s=0.0, rows_per_second=None)

    async def finish(self, rows: int) -> int:
        """Runs chunks to the end of the range; how many rows were changed."""
        changed = 0
        while True:
            result = await self.run(rows)
            changed += result.rows_changed
            if result.finished:
                return changed


async def started(field: Field, **row: Any) -> Job:
    """Enqueues a job and starts it; not prepared yet."""
    job_id = await field.enqueue(**row)
    handlers = [row["handler"]] if "handler" in row else []
    assert await jobs.start_next(field.connection, handlers) is not None
    return next(job for job in await jobs.active(field.connection, handlers) if job.id == job_id)


async def may_begin(field: Field, job: Job) -> None:
    """Waits until no older transaction is left; autovacuum has one now and then."""

    async def look() -> bool:
        return await prepare.waits_for(field.connection, job) is None

    await eventually(look)


async def claimed(
    field: Field, job: Job, *, lease_s: float = LEASE_S, connection: Connection | None = None
) -> Claim | None:
    """Takes the next range of the job, if there is one to take."""
    return await ranges.claim(connection or field.connection, job.id, worker_id=1, lease_s=lease_s)


async def taken(
    field: Field, job: Job, connection: Connection, kind: type[Transaction] = ChunkTransaction
) -> Transaction:
    """Claims the next range of a prepared job and opens its walk on `connection`."""
    claim = await claimed(field, job)
    assert claim is not None
    walk = await open_walk(connection, job, claim)
    return kind(connection, job, claim, walk.change, walk.form, lease_s=LEASE_S)
