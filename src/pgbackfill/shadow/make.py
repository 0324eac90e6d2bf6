"""`shadow create`: makes the new table, has it follow, and enqueues the copy.

Three transactions, each whole; run again, it goes on from where it stopped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from pgbackfill.database import reports
from pgbackfill.database.bounded import Patience, locked
from pgbackfill.database.catalog import rolled_back
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError
from pgbackfill.keyset.names import quote_identifier

from .state import ENDED, Shadow, Stage, find, locked_row, move, objections, pair, sentences

WRITERS_WAIT = "SHARE ROW EXCLUSIVE"
"""What CREATE TRIGGER and ADD FOREIGN KEY take: readers go on."""

NAME_BYTES = 63

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked for. `alters` follow ALTER TABLE of the new table; `target` is one that exists already."""

    name: str
    table: str
    alters: Sequence[str] = ()
    target: str | None = None
    key: Sequence[str] | None = None
    options: dict[str, Any] = field(default_factory=dict)


async def create(connection: Connection, wanted: Wanted, patience: Patience) -> Shadow:
    """Goes on until the copy is enqueued. Raises UsageError with what stands in the way, LocksNotTaken."""
    shadow = await _begun(connection, wanted) or await _make(connection, wanted, patience)
    if shadow.stage is Stage.MADE:
        await _follow(connection, shadow, patience)
        shadow = await find(connection, wanted.name)
    if shadow.stage is Stage.FOLLOWING:
        await _enqueue(connection, shadow, wanted.options)
        shadow = await find(connection, wanted.name)
    return shadow


async def _begun(connection: Connection, wanted: Wanted) -> Shadow | None:
    """The shadow of that name, if it is one of this table and has not ended."""
    with reports.translated():
        row = await connection.fetchrow(load("shadow")["find"], wanted.name)
    if row is None or row["stage"] in ENDED:
        return None
    shadow = await find(connection, wanted.name)
    with reports.translated():
        asked = await connection.fetchval(load("shadow")["resolve"], wanted.table)
    if asked not in (shadow.source, shadow.target):
        raise UsageError(f"The shadow {wanted.name} is one of {shadow.label}; choose another name.")
    return shadow


async def _make(connection: Connection, wanted: Wanted, patience: Patience) -> Shadow:
    if not _NAME.fullmatch(wanted.name):
        raise UsageError(f"The name {wanted.name[:100]!r} must be 1 to 100 of a-z, 0-9, _, . and -, as a job's is.")
    if wanted.target is not None and wanted.alters:
        raise UsageError("Give either --alter or --target, a new table that is made already.")
    sql = load("shadow")
    with reports.translated():
        source = await connection.fetchval(sql["resolve"], wanted.table)
        target = await connection.fetchval(sql["resolve"], wanted.target) if wanted.target is not None else None
        key = await connection.fetchval(sql["key"], source, wanted.key)
    table = await connection.fetchrow(sql["table"], source)
    made = await connection.fetchrow(sql["table"], target) if target is not None else None
    assert table is not None, "it was resolved"
    name = made["name"] if made is not None else _derived(table["name"], "shadow")
    if table["kind"] == "p" and made is None:
        raise UsageError(f"{wanted.table} is partitioned; make the new table yourself and name it with --target.")
    if made is not None and made["schema"] != table["schema"]:
        raise UsageError(f"{wanted.target} is in another schema than {wanted.table}; ALTER TABLE … SET SCHEMA first.")
    await objections(connection, wanted.table, source)
    new = f"{quote_identifier(table['schema'])}.{quote_identifier(name)}"
    async with rolled_back(connection):
        referenced = [row["relation"] for row in await connection.fetch(sql["referenced"], source)]

    async def make() -> None:
        relation = target
        if relation is None:
            relation = await _like(connection, table, new)
            for alter in wanted.alters:
                # By the extended protocol, which takes one command only.
                await connection.fetch(f"ALTER TABLE {new} {alter}")
        elif await connection.fetchval(f"SELECT EXISTS (SELECT FROM {new})"):
            raise UsageError(f"{wanted.target} holds rows already; the new table must be empty.")
        for row in await connection.fetch(sql["fittings"], source, relation) if target is None else []:
            await connection.execute(row["statement"])
        for query in ("rights", "outgoing"):
            for row in await connection.fetch(sql[query], source, relation):
                await connection.execute(row["statement"])
        await _check(connection, wanted.table, source, relation, key)
        await connection.fetchval(
            sql["insert"], wanted.name, table["schema"], table["name"], name, _derived(table["name"], "old"),
            source, relation, key, target is None,
        )  # fmt: skip

    async with sentences(f"The new table of {wanted.table}"):
        try:
            await locked(connection, referenced, WRITERS_WAIT, make, patience)
        except asyncpg.UniqueViolationError as error:
            raise UsageError(f"{wanted.table} or the name {wanted.name} has a shadow already.") from error
    return await find(connection, wanted.name)


async def _like(connection: Connection, table: asyncpg.Record, new: str) -> int:
    old = f"{quote_identifier(table['schema'])}.{quote_identifier(table['name'])}"
    unlogged = "UNLOGGED " if table["persistence"] == "u" else ""
    await connection.execute(f"CREATE {unlogged}TABLE {new} (LIKE {old} INCLUDING ALL)")
    oid: int = await connection.fetchval("SELECT pg_catalog.to_regclass($1)::oid", new)
    return oid


async def _check(connection: Connection, label: str, source: int, target: int, key: Sequence[str]) -> None:
    sql = load("shadow")
    objection = await connection.fetchval(sql["unusable_target"], target, key)
    if objection is not None:
        raise UsageError(f"The new table of {label} cannot be used: it {objection}.")
    unfilled = [row["name"] for row in await connection.fetch(sql["unfilled"], source, target)]
    if unfilled:
        raise UsageError(
            f"The new table of {label} has columns that nothing fills: {', '.join(unfilled)}; give them a DEFAULT, "
            "or NOT NULL after the cutover."
        )
    columns = {row["name"]: row for row in await connection.fetch(sql["columns"], source, target, key)}
    for column in key:
        if column not in columns:
            raise UsageError(f"The new table of {label} lacks the key column {column}; name another key with --key.")
        if not columns[column]["same_order"]:
            raise UsageError(
                f"The key column {column} would change from {columns[column]['type_before']} to "
                f"{columns[column]['type_name']}, which has another order; name another key with --key."
            )


async def _follow(connection: Connection, shadow: Shadow, patience: Patience) -> None:
    async def follow() -> None:
        now = await locked_row(connection, shadow)
        both = await pair(connection, now)
        await install(connection, both.follow_function(), both.function, both.follow(), shadow.source)
        await move(connection, now, Stage.FOLLOWING)

    async with sentences(f"Following {shadow.label}"):
        await locked(connection, [shadow.table], WRITERS_WAIT, follow, patience)


async def install(
    connection: Connection, create_function: str, function: str, triggers: Sequence[str], relation: int
) -> None:
    """The function with the rights of the table's owner, and the triggers that run it."""
    await connection.execute(create_function)
    owner = await connection.fetchval(
        "SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = $1", relation
    )
    await connection.execute(f"ALTER FUNCTION {function}() OWNER TO {quote_identifier(owner)}")
    await connection.execute(f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC")
    for statement in triggers:
        await connection.execute(statement)


async def _enqueue(connection: Connection, shadow: Shadow, options: dict[str, Any]) -> None:
    job = reports.NewJob(
        name=f"shadow-{shadow.name}-{shadow.id}",
        table_name=shadow.table,
        operation="copy",
        target_table=shadow.quoted(shadow.shadow_name),
        key_columns=shadow.key_columns,
        options=options,
    )
    async with connection.transaction():
        now = await locked_row(connection, shadow)
        await reports.enqueue(connection, job)
        await connection.execute(load("shadow")["set_job"], shadow.id, job.name)
        await move(connection, now, Stage.COPYING)


def _derived(table: str, suffix: str) -> str:
    """`orders_old`; a long name is cut and made unique again, always in the same way."""
    full = f"{table}_{suffix}"
    if len(full.encode()) <= NAME_BYTES:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    cut = table.encode()[: NAME_BYTES - len(suffix) - 10].decode(errors="ignore")
    return f"{cut}_{digest}_{suffix}"
