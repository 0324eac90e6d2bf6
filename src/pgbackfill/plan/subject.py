"""The job that is planned: one that exists, or one that is inserted, checked and rolled back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pgbackfill.database import jobs, reports
from pgbackfill.database.dry_run import nothing_kept
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError
from pgbackfill.jobs.job import Job


@dataclass(frozen=True, slots=True)
class Subject:
    """`facts` is what `pgbackfill.plan` answers; `leaves` are the tables that hold the rows, with their bytes."""

    job: Job
    facts: dict[str, Any]
    leaves: dict[int, int]


async def existing(connection: Connection, name: str) -> Subject:
    """Raises UnknownJob."""
    async with nothing_kept(connection):  # for its lock_timeout
        subject = await _read(connection, name)
    if subject is None:
        raise reports.UnknownJob(
            f"There is no job {name!r}; `pgbackfill status` lists them, and a job that is not enqueued yet is planned"
            " with its table and clauses."
        )
    return subject


async def imagined(connection: Connection, new: reports.NewJob) -> Subject:
    """Raises JobRefused, as enqueueing it would."""
    async with nothing_kept(connection):
        if await reports.enqueue(connection, new) is None:
            raise UsageError(f"A job {new.name} exists already; plan it by its name alone, or plan under another name.")
        subject = await _read(connection, new.name)
    assert subject is not None, "it was inserted in this transaction"
    subject.facts["job"]["status"] = None
    return subject


async def _read(connection: Connection, name: str) -> Subject | None:
    with reports.translated():
        row = await connection.fetchrow(load("plan")["subject"], name)
        if row is None:
            return None
        leaves = await connection.fetch(load("plan")["leaves"], row["relation"])
        facts = json.loads(row["facts"])
    return Subject(jobs.job_of(row), facts, {leaf["leaf"]: leaf["bytes"] for leaf in leaves})
