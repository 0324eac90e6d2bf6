"""Where the assignments of a sync trigger come from: a job, or a person who has none yet; and whether a trigger can run
them."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from pgbackfill.database.queries import load
from pgbackfill.database.reports import translated
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError
from pgbackfill.keyset import session
from pgbackfill.keyset.names import quote_literal

from .assignments import assignments
from .statements import SyncTrigger


async def of_job(connection: Connection, name: str, condition: str | None) -> tuple[SyncTrigger, int]:
    """The trigger for an existing job, and the oid of its table. Raises UsageError."""
    job = await connection.fetchrow(load("dualwrite")["job"], name)
    if job is None:
        raise UsageError(f"There is no job {name!r}; enqueue it first, or give a table and --set.")
    if job["operation"] != "update":
        raise UsageError(f"Job {name} is a {job['operation']}; only the assignments of an update can run in a trigger.")
    if job["from_clause"] is not None:
        raise UsageError(
            f"Job {name} has a from_clause, which a trigger cannot run; give a table and --set with subqueries instead."
        )
    return await _trigger(connection, name, job, condition)


async def of_assignments(
    connection: Connection, name: str, table: str, set_clause: str, condition: str | None
) -> tuple[SyncTrigger, int]:
    """The trigger for assignments that no job has, judged as a job's are. Raises UsageError."""
    nobodys = f"sync-trigger-{secrets.token_hex(16)}"
    transaction = connection.transaction()
    await transaction.start()
    try:
        with translated():
            row = await connection.fetchrow(load("dualwrite")["check"], table, set_clause, nobodys)
    finally:
        await transaction.rollback()
    assert row is not None, "INSERT answers its row or raises"
    return await _trigger(connection, name, row, condition)


async def _trigger(
    connection: Connection, name: str, row: asyncpg.Record, condition: str | None
) -> tuple[SyncTrigger, int]:
    table = await connection.fetchrow(load("dualwrite")["table"], row["relation"])
    if table is None:
        raise UsageError(f"The table of {name} has been dropped.")
    settings = session.jobs_own(row["time_zone"], json.loads(row["session_settings"]))
    found = SyncTrigger(
        name=name,
        schema=table["schema"],
        relation=table["relation"],
        assignments=assignments(row["set_clause"]),
        search_path=row["search_path"],
        # The trigger runs as whoever writes; row security there is the application's own business.
        settings={key: value for key, value in settings.items() if key != "row_security"},
        condition=condition,
    )
    await _check(connection, found, row["relation"], generates=table["generates"])
    return found, row["relation"]


async def _check(connection: Connection, trigger: SyncTrigger, relation: int, *, generates: bool) -> None:
    """Raises UsageError for what would be wrong, or mean something else, in a trigger."""
    try:
        async with _as_checked(connection, trigger):
            read = await _columns_read(connection, trigger, relation, [one.expression for one in trigger.assignments])
        for one in trigger.assignments:
            if one.column in read:
                raise UsageError(
                    f"The assignments read {one.column}, which they set: every write would change it again; "
                    "derive it from other columns."
                )
        if trigger.condition is not None:
            async with _as_checked(connection, trigger):
                await connection.fetch(
                    f"EXPLAIN SELECT 1 FROM ONLY {trigger.relation} AS t WHERE {trigger.condition}\n"
                )
                read |= await _columns_read(connection, trigger, relation, [trigger.condition])
    except asyncpg.PostgresError as error:
        raise UsageError(f"A trigger cannot run that: {str(error.args[0]).rstrip('.')}.") from error
    missing = [f"the generated column {name}" for name, generated in read.items() if generated]
    if generates and None in read:
        missing.append("the whole row t")
    if missing:
        raise UsageError(
            f"The expression reads {missing[0]}, and generated columns are still empty in a BEFORE trigger; "
            "write their expressions instead."
        )


@asynccontextmanager
async def _as_checked(connection: Connection, trigger: SyncTrigger) -> AsyncIterator[None]:
    """A transaction with the settings of the trigger, of which nothing stays."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        path = f"SELECT pg_catalog.set_config('search_path', {quote_literal(trigger.search_path)}, true)"
        await connection.execute("; ".join([*session.set_local(trigger.settings), path]))
        yield
    finally:
        await transaction.rollback()


async def _columns_read(
    connection: Connection, trigger: SyncTrigger, relation: int, expressions: Sequence[str]
) -> dict[str | None, bool]:
    """The columns of the row that are read, and whether they are generated; None stands for the whole row.

    Postgres itself says so: the expressions are the body of a function that is rolled back at once.
    """
    listed = ", ".join(f"({text}\n)" for text in expressions)
    select = f"SELECT {listed} FROM ONLY {trigger.relation} AS t"
    await connection.execute(
        f"CREATE FUNCTION pg_temp.pgbackfill_probe() RETURNS void LANGUAGE sql BEGIN ATOMIC {select}; END"
    )
    rows = await connection.fetch(load("dualwrite")["columns_read"], relation)
    read: dict[str | None, bool] = {row["name"]: row["generated"] for row in rows}
    plan = json.loads(await connection.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) {select}"))[0]["Plan"]
    if any("t.*" in output for output in plan.get("Output", [])):
        read[None] = False
    return read
