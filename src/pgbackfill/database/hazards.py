"""What makes a job's chunks dearer or riskier than their rows: said before the first chunk, and by `status NAME`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from pgbackfill.control.options import PacingOptions
from pgbackfill.jobs.failures import PASSING, classify
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.explain import nodes
from pgbackfill.keyset.names import quote_identifier

from . import catalog
from .catalog import Walk
from .queries import load
from .types import Connection

OLD_SNAPSHOT_S = 300.0
"""A transaction as old as this pins more dead rows than autovacuum would have left alone anyway."""

OLD_SNAPSHOT_XIDS = 100_000
"""Where nobody knows since when, as of the queries on a replica: five minutes at some 300 transactions a second."""

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
    """What the catalogs say. What the job writes and which columns it sets is for the parser to tell, on another
    connection."""

    hazards: list[Hazard]
    leaf: int | None = None
    indexes: Sequence[asyncpg.Record] = ()
    keys: Sequence[asyncpg.Record] = ()
    fillfactor: int = 100


async def find(control: Connection, work: Connection, job: Job, options: PacingOptions) -> list[Hazard]:
    """Everything that is known before the first chunk. What cannot be looked at is left out."""
    return await judge(control, work, job, await look(control, job, options))


async def look(control: Connection, job: Job, options: PacingOptions) -> Seen:
    """The first half of `find`, which needs no rights on the table."""
    sql = load("hazards")
    async with catalog.rolled_back(control):
        rows = [] if job.operation == "statement" else await control.fetch(sql["of_table"], job.relation, job.operation)
        rows += await control.fetch(
            sql["of_server"], options.lock_timeout_ms, OLD_SNAPSHOT_S, BEHIND_BYTES, OLD_SNAPSHOT_XIDS
        )
        found = [Hazard(row["kind"], row["detail"]) for row in rows]
    leaves = await catalog.leaves(control, job.relation)
    if not leaves:
        return Seen(found)
    leaf = leaves[0]  # the others have the same columns, and as a rule the same indexes
    if job.operation != "update":
        return Seen(found, leaf)
    async with catalog.rolled_back(control):
        return Seen(
            found,
            leaf,
            await control.fetch(sql["indexed_columns"], leaf),
            await control.fetch(sql["foreign_keys"], job.relation),
            await control.fetchval(sql["fillfactor"], leaf),
        )


async def judge(
    control: Connection, work: Connection, job: Job, seen: Seen, *, walk: Walk | None = None
) -> list[Hazard]:
    """The second half: what a statement writes, and which columns are set. `walk` is how the first leaf is walked."""
    if seen.leaf is None:
        return seen.hazards
    if job.operation == "statement":
        return [*await _of_written(control, work, job, seen.leaf), *seen.hazards]
    return [*seen.hazards, *await _of_columns(work, job, seen.leaf, seen, walk)]


async def _of_written(control: Connection, work: Connection, job: Job, leaf: int) -> list[Hazard]:
    """The tables that a statement writes; the walked one is at least read."""
    found = []
    written = await _written(control, work, job, leaf)
    async with catalog.rolled_back(control):
        for table, operation in written.items():
            rows = await control.fetch(load("hazards")["of_table"], table, operation)
            found += [Hazard(row["kind"], row["detail"]) for row in rows]
    return found


async def _written(control: Connection, work: Connection, job: Job, leaf: int) -> dict[int, str]:
    written = {job.relation: "none"}
    change = await catalog.describe_change(work, job, leaf)
    if change is None:
        return written
    columns = ", ".join(f"t.{quote_identifier(column.name)}" for column in change.key)
    try:
        async with catalog.rolled_back(work, job):
            plan = await work.fetchval(
                f"EXPLAIN (VERBOSE, FORMAT JSON) WITH chunk AS MATERIALIZED (SELECT {columns} FROM ONLY"
                f" {change.relation} AS t) {job.statement}\n"
            )
        async with catalog.rolled_back(control):
            for node in nodes(json.loads(plan)[0]["Plan"]):
                if node["Node Type"] == "ModifyTable":
                    table = await control.fetchval(load("hazards")["table"], node["Schema"], node["Relation Name"])
                    written[table] = node["Operation"].lower()
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:
            raise
        written[job.relation] = "statement"  # it cannot be planned: the first chunk says why
    return written


async def _of_columns(work: Connection, job: Job, leaf: int, seen: Seen, walk: Walk | None) -> list[Hazard]:
    """An update of an indexed column is never HOT, any other one is where its page has room; and foreign keys act only
    where their columns are set."""
    columns = {column for each in (*seen.indexes, *seen.keys) for column in each["columns"]}
    known = walk is not None and walk.relation == leaf
    change = walk.change if walk and known else await catalog.describe_change(work, job, leaf)
    changed = await _set(work, job, change.relation, sorted(columns)) if change is not None else set()
    found = [
        Hazard("indexed_column", f"{', '.join(hit)} in {index['index']}: no update is HOT, so every index is written")
        for index in seen.indexes
        if (hit := sorted(changed & set(index["columns"])))
    ]
    if not found and seen.fillfactor == 100 and len(seen.indexes) > 1:
        found.append(
            Hazard("fillfactor", f"100 leaves no room for HOT updates, so all {len(seen.indexes)} indexes are written")
        )
    return found + [Hazard("foreign_key", key["detail"]) for key in seen.keys if changed & set(key["columns"])]


async def _set(work: Connection, job: Job, relation: str, columns: Sequence[str]) -> set[str]:
    """Those that set_clause assigns. As a rule it is none of them, which one question tells."""
    if not columns or not await _any_set(work, job, relation, columns):
        return set()
    if len(columns) == 1:
        return set(columns)
    return {column for column in columns if await _any_set(work, job, relation, [column])}


async def _any_set(work: Connection, job: Job, relation: str, columns: Sequence[str]) -> bool:
    """Whether set_clause assigns one of them: a second assignment is an error that only the parser can tell."""
    items = f" FROM {relation} AS chunk, {job.from_clause}\n" if job.from_clause else ""
    again = ", ".join(f"{quote_identifier(column)} = DEFAULT" for column in columns)
    try:
        async with catalog.rolled_back(work, job):
            await work.fetch(f"EXPLAIN UPDATE ONLY {relation} AS t SET {job.set_clause}\n, {again}{items}")
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:
            raise
        return error.sqlstate == TWICE
    return False
