"""What makes a job's chunks dearer or riskier than their rows: said before the first chunk, and by `status NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from pgbackfill.control.options import PacingOptions
from pgbackfill.jobs.failures import PASSING, classify
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.names import quote_identifier

from . import catalog
from .queries import load
from .types import Connection

OLD_SNAPSHOT_S = 300.0
"""A transaction as old as this pins more dead rows than autovacuum would have left alone anyway."""

BEHIND_BYTES = 64 << 20
"""Four segments of write-ahead log: more than a replica that keeps up ever has to replay."""

TWICE = "42601"
"""SQLSTATE of a second assignment to the same column."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """`kind` is one of a few words, for scripts; `detail` is for people."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the catalogs say. Which columns the job sets is for the parser to tell, on another connection."""

    hazards: list[Hazard]
    leaf: int | None = None
    indexes: Sequence[asyncpg.Record] = ()
    fillfactor: int = 100


async def find(control: Connection, work: Connection, job: Job, options: PacingOptions) -> list[Hazard]:
    """Everything that is known before the first chunk. What cannot be looked at is left out."""
    return await judge(work, job, await look(control, job, options))


async def look(control: Connection, job: Job, options: PacingOptions) -> Seen:
    """The first half of `find`, which needs no rights on the table."""
    sql = load("hazards")
    leaves = await catalog.leaves(control, job.relation) if job.operation == "update" else []
    async with catalog.rolled_back(control):
        rows = await control.fetch(sql["of_table"], job.relation, job.operation)
        rows += await control.fetch(sql["of_server"], options.lock_timeout_ms, OLD_SNAPSHOT_S, BEHIND_BYTES)
        found = [Hazard(row["kind"], row["detail"]) for row in rows]
        if not leaves:
            return Seen(found)
        leaf = leaves[0]  # the others have the same columns, and as a rule the same indexes
        indexes = await control.fetch(sql["indexed_columns"], leaf)
        return Seen(found, leaf, indexes, await control.fetchval(sql["fillfactor"], leaf))


async def judge(work: Connection, job: Job, seen: Seen) -> list[Hazard]:
    """The second half: an update of an indexed column is never HOT; any other one is where its page has room."""
    if seen.leaf is None:
        return seen.hazards
    columns = {column for index in seen.indexes for column in index["columns"]}
    changed = {column for column in columns if await _is_set(work, job, seen.leaf, column)}
    found = [
        Hazard("indexed_column", f"{', '.join(hit)} in {index['index']}: no update is HOT, so every index is written")
        for index in seen.indexes
        if (hit := sorted(changed & set(index["columns"])))
    ]
    if not found and seen.fillfactor == 100 and len(seen.indexes) > 1:
        found.append(
            Hazard("fillfactor", f"100 leaves no room for HOT updates, so all {len(seen.indexes)} indexes are written")
        )
    return [*seen.hazards, *found]


async def _is_set(work: Connection, job: Job, leaf: int, column: str) -> bool:
    """Whether set_clause assigns the column: a second assignment to it is an error that only the parser can tell."""
    change = await catalog.describe_change(work, job, leaf)
    if change is None:
        return False
    items = f" FROM {change.relation} AS chunk, {job.from_clause}\n" if job.from_clause else ""
    try:
        async with catalog.rolled_back(work, job):
            await work.fetch(
                f"EXPLAIN UPDATE ONLY {change.relation} AS t SET {job.set_clause}\n,"
                f" {quote_identifier(column)} = DEFAULT{items}"
            )
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:
            raise
        return error.sqlstate == TWICE
    return False
