"""`shadow cutover` and `shadow rollback`: the same exchange of roles, in one direction and in the other."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from pgbackfill.database.bounded import NOT_NOW, Patience, locked
from pgbackfill.database.catalog import rolled_back
from pgbackfill.database.failures import first_line
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError
from pgbackfill.keyset.names import quote_identifier

from . import verify
from .make import install
from .state import Shadow, Stage, find, locked_row, move, objections, pair, sentences

EVERYBODY_WAITS = "ACCESS EXCLUSIVE"

TEMPORARY = "pgbackfill_shadow_exchange"
"""A name for the moment in which two indexes exchange theirs."""


async def cutover(connection: Connection, shadow: Shadow, patience: Patience, *, way_back: bool = True) -> Shadow:
    """The new table takes the name; the old one follows it, unless no `way_back` is wanted.

    Raises UsageError with what stands in the way, LocksNotTaken.
    """
    if shadow.swapped:
        return shadow
    await verify.copied(connection, shadow)
    await objections(connection, shadow.label, shadow.source)  # before a comparison that may take hours
    await _check_columns(connection, shadow)
    if way_back:
        await _check_way_back(connection, shadow)
    if shadow.verified_at is None:
        found = await verify.compare(connection, shadow)
        if not found.same:
            raise UsageError(different(shadow, found))
    await connection.execute(f"ANALYZE {shadow.quoted(shadow.shadow_name)}")  # or the first plans would be blind
    await _swap(connection, shadow, patience, Stage.CUT_OVER, way_back=way_back)
    return await find(connection, shadow.name)


async def rollback(connection: Connection, shadow: Shadow, patience: Patience) -> Shadow:
    """The old table takes its name back, and the new one follows again. Raises as `cutover` does."""
    if shadow.stage is Stage.COPYING:
        return shadow
    if not shadow.swapped:
        raise UsageError(f"The shadow {shadow.name} is {shadow.stage}; there is nothing to roll back.")
    if not shadow.way_back:
        raise UsageError(f"{shadow.label} was cut over without a way back, so {shadow.old_name} no longer follows it.")
    await _swap(connection, shadow, patience, Stage.COPYING, way_back=True)
    return await find(connection, shadow.name)


def different(shadow: Shadow, found: verify.Comparison) -> str:
    keys = ", ".join(" ".join(key) for key in found.different)
    return (
        f"{shadow.label} and {shadow.shadow_name if not shadow.swapped else shadow.old_name} differ ({found.rows} and "
        f"{found.follower_rows} rows; first keys: {keys}): somebody wrote past the triggers; repair the rows, or abort."
    )


async def _check_columns(connection: Connection, shadow: Shadow) -> None:
    drift = [row["name"] for row in await connection.fetch(load("shadow")["drift"], shadow.id)]
    if drift:
        raise UsageError(
            f"Columns of {shadow.label} or its shadow changed since `create`, so nobody kept them in step: "
            f"{', '.join(drift)}; abort, and create the shadow again."
        )


async def _check_way_back(connection: Connection, shadow: Shadow) -> None:
    async with rolled_back(connection):
        unfilled = await connection.fetch(load("shadow")["unfilled"], shadow.target, shadow.source)
    if unfilled:
        names = ", ".join(row["name"] for row in unfilled)
        raise UsageError(
            f"The old table could not follow the new one, which has no {names}: DROP NOT NULL there, or cut over with "
            "--no-way-back."
        )


async def _swap(connection: Connection, shadow: Shadow, patience: Patience, stage: Stage, *, way_back: bool) -> None:
    sql = load("shadow")
    forward = stage is Stage.CUT_OVER
    leaving, arriving = (shadow.source, shadow.target) if forward else (shadow.target, shadow.source)
    leave_as, arrive_from = (shadow.old_name, shadow.shadow_name) if forward else (shadow.shadow_name, shadow.old_name)
    await objections(connection, shadow.label, leaving)
    async with rolled_back(connection):
        tables = [row["relation"] for row in await connection.fetch(sql["to_lock"], leaving, arriving)]

    async def swap() -> None:
        now = await locked_row(connection, shadow)
        if await connection.fetchval("SELECT pg_catalog.to_regclass($1)::oid", now.table) != leaving:
            raise UsageError(f"{now.label} is not the table that it was; look at what renamed it.")
        found = await connection.fetch(sql["objections"], leaving)
        if found:
            raise UsageError(f"{now.label} cannot be replaced: {found[0]['objection']}.")
        if forward:
            await _check_columns(connection, now)
        arrive = [row["statement"] for row in await connection.fetch(sql["arrive"], leaving, arriving)]
        rights = [row["statement"] for row in await connection.fetch(sql["rights"], leaving, arriving)]
        await _run(connection, [row["statement"] for row in await connection.fetch(sql["leave"], leaving, arriving)])
        await _run(connection, rights)
        await _exchange_names(connection, leaving, arriving)
        await _run(
            connection,
            [
                f"ALTER TABLE {now.table} RENAME TO {quote_identifier(leave_as)}",
                f"ALTER TABLE {now.quoted(arrive_from)} RENAME TO {quote_identifier(now.table_name)}",
                *arrive,
                f"DROP FUNCTION IF EXISTS {now.function(swapped=not forward)}()",
            ],
        )
        await connection.execute(sql["set_way_back"], now.id, way_back)
        if way_back:
            both = await pair(connection, now, swapped=forward)
            await install(connection, both.follow_function(), both.function, both.follow(), arriving)
        await move(connection, now, stage)

    async with sentences(f"The {'cutover' if forward else 'way back'} of {shadow.label}"):
        await locked(connection, tables, EVERYBODY_WAITS, swap, patience)


async def _run(connection: Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        try:
            await connection.execute(statement)
        except NOT_NOW:
            raise
        except asyncpg.PostgresError as error:
            words = " ".join(statement.split()[:8])
            raise UsageError(
                f"Nothing was exchanged, because the other table cannot have this: {words} …: {first_line(error)}; "
                "drop it before the cutover, and create it afterwards as the new table needs it."
            ) from error


async def _exchange_names(connection: Connection, leaving: int, arriving: int) -> None:
    """Whoever knows an index, a constraint or a sequence by its name finds that of the table with the name."""
    for twin in await connection.fetch(load("shadow")["twins"], leaving, arriving):
        schema = quote_identifier(twin["schema"])
        for before, after in ((twin["ours"], TEMPORARY), (twin["theirs"], twin["ours"]), (TEMPORARY, twin["theirs"])):
            await connection.execute(
                f"ALTER {twin['kind']} {schema}.{quote_identifier(before)} RENAME TO {quote_identifier(after)}"
            )


async def validate(connection: Connection, shadow: Shadow) -> list[str]:
    """Lets Postgres look at the rows behind the foreign keys that moved, under a lock that nobody notices.

    Each by itself, so that a kill costs one of them. Answers those that do not hold, with the reason.
    """
    async with rolled_back(connection):
        rows = await connection.fetch(load("shadow")["unvalidated"], shadow.leader)
    failed = []
    for row in rows:
        try:
            await connection.execute(row["statement"])
        except asyncpg.PostgresError as error:
            failed.append(f"{row['label']} ({first_line(error)})")
    return failed
