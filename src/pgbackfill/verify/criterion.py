"""Which rows are wrong after a job, if that can be told at all. Postgres is asked what an expression reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import asyncpg

from pgbackfill.database import catalog
from pgbackfill.database.failures import first_line
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.jobs.failures import PASSING, classify
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.assignments import Assignment, assignments
from pgbackfill.keyset.explain import nodes, quote_free
from pgbackfill.keyset.names import quote_identifier
from pgbackfill.keyset.statement import Change

from .page import compared, selected

_LITERAL = re.compile(r"'(?:[^']|'')*'")
_TIME = re.compile(
    r"\b(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|age|random)\("
    r"|\bCURRENT_(?:DATE|TIME|TIMESTAMP)\b|\bLOCALTIME"
)
"""As EXPLAIN prints them."""

_WRITTEN = re.compile(
    r"\s*(?:insert\s+into|update|delete\s+from|merge\s+into)\s+(?:only\s+)?((?:\"[^\"]+\"|[\w.$])+)", re.I
)


class NotVerifiable(Exception):
    """The job's work cannot be recognised afterwards; the message says why."""


async def criterion(work: Connection, job: Job, change: Change, relation: int) -> str:
    """The condition on the row `t` that is true where the job has not done its work. Raises NotVerifiable."""
    if job.operation not in ("update", "delete", "statement"):
        raise NotVerifiable(f"the work of operation {job.operation} cannot be recognised in the walked table")
    items = assignments(job.set_clause) if job.set_clause is not None else []
    if job.operation == "update" and job.from_clause is None:
        why = await _not_comparable(work, job, change, relation, items)
        if why is None:
            types = await _types(work, relation)
            pairs = [(item.columns[0], str(item.expression), types[item.columns[0]]) for item in items]
            return compared(job.where_clause, pairs)
    else:
        why = "values from other tables may have changed since"
    if job.operation != "delete":
        if job.where_clause is None:
            raise NotVerifiable(f"{why}, and there is no where_clause that tells which rows are left")
        if not await _falsified(work, job, change, relation, items):
            raise NotVerifiable(f"{why}, and where_clause reads nothing that the job writes, so it holds as before")
    condition = selected(change)
    if await _depends_on_time(work, job, change, condition):
        raise NotVerifiable("where_clause depends on the time at which it is asked")
    return condition


async def _not_comparable(
    work: Connection, job: Job, change: Change, relation: int, items: Sequence[Assignment]
) -> str | None:
    """Why the columns cannot be compared with their expressions; None where they can.

    A generated column may be made of what stays as it is: the row's own columns, by functions that always answer alike.
    So one is added for each expression to an empty copy of the table that lacks the columns that are set.
    """
    if any(item.expression is None for item in items):
        return "set_clause has more than plain assignments"
    types = await _types(work, relation)
    gone = {item.columns[0] for item in items} | await _generated(work, relation)
    drops = [f"DROP COLUMN {quote_identifier(name)}" for name in gone]
    adds = [
        f"ADD COLUMN {quote_identifier(f'pgbackfill_{i}')} {types[item.columns[0]]}"
        f" GENERATED ALWAYS AS ({item.expression}\n) STORED"
        for i, item in enumerate(items)
    ]
    plain = compared(job.where_clause, [(i.columns[0], str(i.expression), types[i.columns[0]]) for i in items])
    try:
        async with catalog.rolled_back(work, job):
            # By the extended protocol, which refuses a second command.
            await work.fetch(f"CREATE TEMPORARY TABLE t (LIKE {change.relation})")
            await work.fetch(f"ALTER TABLE pg_temp.t {', '.join(drops)}")
            await work.fetch(f"ALTER TABLE pg_temp.t {', '.join(adds)}")
            await work.fetch(f"EXPLAIN SELECT 1 FROM ONLY {change.relation} AS t WHERE {plain}")
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:
            raise
        return f"what set_clause says cannot be computed again ({first_line(error)})"
    return None


async def _falsified(work: Connection, job: Job, change: Change, relation: int, items: Sequence[Assignment]) -> bool:
    """Whether the job's writing can make where_clause false: whether it reads what is written."""
    if job.operation == "statement":
        return await _reads_what_is_written(work, job, change)
    set_columns = {name for item in items for name in item.columns} | await _generated(work, relation)
    kept = [quote_identifier(name) for name in await _types(work, relation) if name not in set_columns]
    source = f"(SELECT {', '.join(kept)} FROM ONLY {change.relation}) AS t"
    try:
        async with catalog.rolled_back(work, job):
            await work.fetch(f"EXPLAIN SELECT 1 FROM {source} WHERE {selected(change)}")
    except asyncpg.UndefinedColumnError:
        return True
    return False


async def _reads_what_is_written(work: Connection, job: Job, change: Change) -> bool:
    found = _WRITTEN.match(job.statement or "")
    if found is None:
        return False
    async with catalog.rolled_back(work, job):
        written = await work.fetchval("SELECT pg_catalog.to_regclass($1)::pg_catalog.oid", found[1])
        walked = await work.fetchval("SELECT pg_catalog.to_regclass($1)::pg_catalog.oid", change.relation)
        plan = await work.fetchval(
            f"EXPLAIN (VERBOSE, FORMAT JSON) SELECT 1 FROM ONLY {change.relation} AS t WHERE {selected(change)}"
        )
        if written in (walked, job.relation):
            return True
        for node in nodes(json.loads(plan)[0]["Plan"]):
            if "Relation Name" in node:
                name = f"{quote_identifier(node['Schema'])}.{quote_identifier(quote_free(node['Relation Name']))}"
                if await work.fetchval("SELECT pg_catalog.to_regclass($1)::pg_catalog.oid", name) == written:
                    return True
    return False


async def _depends_on_time(work: Connection, job: Job, change: Change, condition: str) -> bool:
    async with catalog.rolled_back(work, job):
        plan = await work.fetchval(
            f"EXPLAIN (VERBOSE, FORMAT JSON) SELECT 1 FROM ONLY {change.relation} AS t WHERE {condition}"
        )
    return _TIME.search(_LITERAL.sub("''", plan)) is not None


async def _types(work: Connection, relation: int) -> dict[str, str]:
    async with catalog.rolled_back(work):
        return {row["name"]: row["type_name"] for row in await work.fetch(load("catalog")["columns"], relation)}


async def _generated(work: Connection, relation: int) -> set[str]:
    async with catalog.rolled_back(work):
        return {row["name"] for row in await work.fetch(load("catalog")["columns"], relation) if row["generated"]}
