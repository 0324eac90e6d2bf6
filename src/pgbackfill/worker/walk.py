"""Finds out what a claimed range looks like now: the table's name, its key, and the form of the change."""

from __future__ import annotations

from pgbackfill.database import catalog
from pgbackfill.database.outcome import LeafMoved
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Claim, Job
from pgbackfill.keyset.statement import Change, Form


async def open_walk(connection: Connection, job: Job, claim: Claim) -> tuple[Change, Form]:
    """Raises LeafMoved where the table has been dropped."""
    change = await catalog.describe_change(connection, job, claim.relation)
    if change is None:
        raise LeafMoved(job.table_name)
    return change, await catalog.choose_form(connection, job, change, claim.relation)
