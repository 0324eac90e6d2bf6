"""What the walked tables look like: names, key types, leaf partitions, and what a job's SQL reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from pgbackfill.errors import JobFailed
from pgbackfill.jobs.failures import PASSING, classify
from pgbackfill.jobs.job import Job
from pgbackfill.keyset import session
from pgbackfill.keyset.explain import reads_elsewhere
from pgbackfill.keyset.keeping import keeping
from pgbackfill.keyset.key import KeyColumn
from pgbackfill.keyset.names import quote_identifier, quote_literal
from pgbackfill.keyset.statement import Change, Form

from .queries import load
from .types import Connection

LOCK_TIMEOUT = "2s"
"""Longest wait for a look at a table that somebody has locked: these looks are few, and asked again."""


@asynccontextmanager
async def rolled_back(connection: Connection, job: Job | None = None) -> AsyncIterator[None]:
    """A transaction of which nothing stays; as the job's SQL is run, or with pg_catalog alone in the search path."""
    settings = session.jobs_own(job.time_zone, job.session_settings) if job is not None else {}
    search_path = job.search_path if job is not None else "pg_catalog"
    try:  # from here on: where a setting is refused, the transaction has begun all the same
        await connection.execute(
            f"BEGIN; {'; '.join(session.set_local({'lock_timeout': LOCK_TIMEOUT} | settings))};"
            f" SELECT pg_catalog.set_config('search_path', {quote_literal(search_path)}, true)"
        )
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")


async def leaves(connection: Connection, relation: int) -> list[int]:
    """The oids of the tables that hold the rows of `relation`, in the order in which they are walked."""
    async with rolled_back(connection):
        return [row["oid"] for row in await connection.fetch(load("catalog")["leaves"], relation)]


async def belongs(connection: Connection, leaf: int, relation: int) -> bool:
    """Whether the table `leaf` exists and is (still) part of `relation`."""
    return bool(await connection.fetchval(load("catalog")["belongs"], leaf, relation))


async def describe_change(connection: Connection, job: Job, relation: int) -> Change | None:
    """What `job` does to the table or leaf `relation`; None where that table no longer exists."""
    async with rolled_back(connection):
        table = await connection.fetchrow(load("catalog")["table_name"], relation)
        if table is None:
            return None
        key = await connection.fetch(load("catalog")["key_columns"], relation, list(job.key_columns))
        copy = None
        if job.target_relation is not None:
            copy = await connection.fetchrow(load("catalog")["copy"], relation, job.target_relation)
    change = Change(
        job=job.name,
        operation=job.operation,
        relation=f"{quote_identifier(table['nspname'])}.{quote_identifier(table['relname'])}",
        key=tuple(KeyColumn(row["name"], row["type_name"]) for row in key),
        set_clause=job.set_clause,
        from_clause=job.from_clause,
        where_clause=job.where_clause,
        statement=job.statement,
        only_index=table["indexes"] == 1,
        partition_of=job.relation if relation != job.relation else None,
        target=copy["target"] if copy is not None else None,
        columns=tuple(copy["columns"]) if copy is not None else (),
        where_stands_alone=await _where_stands_alone(connection, job, table["nspname"], table["relname"]),
    )
    return keeping(change, job.id, job.kept_columns) if job.kept_columns is not None else change


@dataclass(frozen=True, slots=True)
class Walk:
    """How the rows of one table or leaf are reached and changed."""

    relation: int
    change: Change
    form: Form


async def open_walk(connection: Connection, job: Job, relation: int) -> Walk | None:
    """What `relation` looks like now; None where it no longer exists."""
    change = await describe_change(connection, job, relation)
    if change is None:
        return None
    return Walk(relation, change, await choose_form(connection, job, change, relation))


async def _where_stands_alone(connection: Connection, job: Job, schema: str, table: str) -> bool:
    """Whether where_clause can be judged on the row alone, or refers to the items of from_clause."""
    if job.where_clause is None or job.from_clause is None:
        return True
    relation = f"{quote_identifier(schema)}.{quote_identifier(table)}"
    try:
        async with rolled_back(connection, job):
            await connection.fetch(f"EXPLAIN SELECT 1 FROM ONLY {relation} AS t WHERE ({job.where_clause}\n)")
    except asyncpg.PostgresError as error:
        if not str(error.sqlstate).startswith("42"):
            raise
        return False
    return True


async def choose_form(connection: Connection, job: Job, change: Change, relation: int) -> Form:
    """The cheapest form that is right.

    A value read from another table is current only if the row was locked by an *earlier* statement, so whatever reads
    more than the row is locked first. Where that cannot be told, it is assumed.
    """
    if change.operation in ("statement", "handler") or job.from_clause is not None:
        return Form.JOINED
    if job.operation == "copy":
        if change.target is None:
            raise JobFailed(f"the table that {job.name} copies to was dropped; enqueue it again")
        return Form.RANGE
    head = (
        f"UPDATE ONLY {change.relation} AS t SET {job.set_clause}\n"
        if job.operation == "update"
        else f"DELETE FROM ONLY {change.relation} AS t"
    )
    where = f" WHERE ({job.where_clause}\n)" if job.where_clause else ""
    if await _reads_only_the_row(connection, job, relation, head + where):
        return Form.RANGE
    # Counting locked and changed rows proves that they are the same ones only where nothing but the row decides
    # which rows match.
    if not where or await _reads_only_the_row(
        connection, job, relation, f"SELECT FROM ONLY {change.relation} AS t{where}"
    ):
        return Form.LOCKED_RANGE
    return Form.JOINED


async def _reads_only_the_row(connection: Connection, job: Job, relation: int, statement: str) -> bool:
    """Lets Postgres itself say what `statement` depends on: as the body of a function that is rolled back at once."""
    if "_to_xml" in statement.lower():  # built in, yet reads any table that it is given
        return False
    try:
        async with rolled_back(connection, job):
            await connection.fetch(
                f"CREATE FUNCTION pg_temp.pgbackfill_probe() RETURNS void LANGUAGE sql BEGIN ATOMIC {statement}; END"
            )
            plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}"))[0]["Plan"]
            others = await connection.fetch(load("catalog")["probe_dependencies"], relation)
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:  # a lock, say: decided when it is gone, not for the slower form
            raise
        return False  # no right to create temporary objects: assume the worst
    return not others and not reads_elsewhere(plan)
