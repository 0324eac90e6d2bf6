"""The tables that a job will walk, looked at exactly as its preparation looks at them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pgbackfill.database import catalog
from pgbackfill.database.boundaries import sample
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.cuts import Sample
from pgbackfill.keyset.key import KeyText, Lower
from pgbackfill.keyset.statement import Change, Form

LEAVES_MOST = 16
"""Of more partitions the largest are looked at, and speak for the others."""


@dataclass(frozen=True, slots=True)
class Walk:
    """The walk of one table or leaf: its rows after `lower`, to `upper` (None: it has none), and keys among them."""

    relation: int
    change: Change
    form: Form
    lower: Lower | None
    upper: KeyText | None
    found: Sample

    @property
    def rows(self) -> int:
        return self.found.rows


async def walks(work: Connection, job: Job, leaves: dict[int, int]) -> list[Walk]:
    """Of the largest of `leaves` (oid: bytes), in the order in which they are walked; none where nothing has a row.

    Where only some were looked at, their rows are scaled up to all of them.
    """
    largest = sorted(leaves, key=lambda oid: (-leaves[oid], oid))[:LEAVES_MOST]
    found = [walk for oid in sorted(largest) if (walk := await _walk(work, job, oid)) is not None]
    looked_at = sum(leaves[oid] for oid in largest)
    if len(largest) == len(leaves) or looked_at == 0:
        return found
    share = sum(leaves.values()) / looked_at
    return [replace(walk, found=replace(walk.found, rows=round(walk.rows * share))) for walk in found]


async def _walk(work: Connection, job: Job, relation: int) -> Walk | None:
    change = await catalog.describe_change(work, job, relation)
    if change is None:
        return None
    form = await catalog.choose_form(work, job, change, relation)
    lower = Lower(job.from_key, inclusive=True) if job.from_key else None
    async with catalog.rolled_back(work, job):
        last = change.last_key(lower, job.to_key)
        row = await work.fetchrow(last.sql, *last.arguments)
        if row is None:
            return None
        upper = tuple(row)
        return Walk(relation, change, form, lower, upper, await sample(work, change, relation, lower, upper, 1))
