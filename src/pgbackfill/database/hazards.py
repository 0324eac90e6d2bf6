"""What makes a job's chunks dearer or riskier than their rows: said before the first chunk, and by `status NAME`."""

from __future__ import annotations

import json
from dataclasses import dataclass

import asyncpg

from pgbackfill.control.options import PacingOptions
from pgbackfill.jobs.failures import PASSING, classify
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.explain import nodes
from pgbackfill.keyset.names import quote_identifier

from . import catalog
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


async def find(control: Connection, work: Connection, job: Job, options: PacingOptions) -> list[Hazard]:
    """Everything that is known before the first chunk. What cannot be looked at is left out."""
    sql = load("hazards")
    changed = {job.relation: job.operation} if job.operation != "statement" else await _written(control, work, job)
    async with catalog.rolled_back(control):
        rows = []
        for table, operation in changed.items():
            rows += await control.fetch(sql["of_table"], table, operation)
        rows += await control.fetch(
            sql["of_server"], options.lock_timeout_ms, OLD_SNAPSHOT_S, BEHIND_BYTES, OLD_SNAPSHOT_XIDS
        )
    found = [Hazard(row["kind"], row["detail"]) for row in rows]
    if job.operation == "update":
        found += await _of_columns(control, work, job)
    return found


async def _written(control: Connection, work: Connection, job: Job) -> dict[int, str]:
    """What a statement does to which tables; the walked one is at least read."""
    written = {job.relation: "none"}
    for leaf in (await catalog.leaves(control, job.relation))[:1]:
        change = await catalog.describe_change(work, job, leaf)
        if change is None:
            continue
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


async def _of_columns(control: Connection, work: Connection, job: Job) -> list[Hazard]:
    """An update of an indexed column is never HOT, any other one is where its page has room; and foreign keys act only
    where their columns are set."""
    leaves = await catalog.leaves(control, job.relation)
    if not leaves:
        return []
    leaf = leaves[0]  # the others have the same columns, and as a rule the same indexes
    async with catalog.rolled_back(control):
        indexes = await control.fetch(load("hazards")["indexed_columns"], leaf)
        keys = await control.fetch(load("hazards")["foreign_keys"], job.relation)
        fillfactor = await control.fetchval(load("hazards")["fillfactor"], leaf)
    columns = {column for each in (*indexes, *keys) for column in each["columns"]}
    changed = {column for column in columns if await _is_set(work, job, leaf, column)}
    found = [
        Hazard("indexed_column", f"{', '.join(hit)} in {index['index']}: no update is HOT, so every index is written")
        for index in indexes
        if (hit := sorted(changed & set(index["columns"])))
    ]
    if not found and fillfactor == 100 and len(indexes) > 1:
        found.append(
            Hazard("fillfactor", f"100 leaves no room for HOT updates, so all {len(indexes)} indexes are written")
        )
    return found + [Hazard("foreign_key", key["detail"]) for key in keys if changed & set(key["columns"])]


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
