"""Finds out what a claimed range looks like now: the table's name, its key, and the form of the change."""

from __future__ import annotations

from pgbackfill.database import catalog
from pgbackfill.database.catalog import Walk
from pgbackfill.database.outcome import LeafMoved
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Claim, Job


async def open_walk(connection: Connection, job: Job, claim: Claim) -> Walk:
    """Raises LeafMoved where the table has been dropped."""
    walk = await catalog.open_walk(connection, job, claim.relation)
    if walk is None:
        raise LeafMoved(job.table_name)
    return walk
