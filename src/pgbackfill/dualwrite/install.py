"""Installs and removes sync triggers. Both are idempotent, and neither lets anybody queue behind a waiting lock."""

from __future__ import annotations

import asyncpg

from pgbackfill.database.bounded import Patience, locked
from pgbackfill.database.failures import first_line
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError
from pgbackfill.keyset.names import quote_identifier

from .statements import SyncTrigger, trigger_name

WRITERS_WAIT = "SHARE ROW EXCLUSIVE"
"""What CREATE TRIGGER takes: readers go on, writers wait, for as long as the catalogs take."""


async def create(connection: Connection, trigger: SyncTrigger, relation: int, patience: Patience) -> bool:
    """Installs the trigger on the table with the oid `relation`; False: it was there, and has the new function now.

    Raises UsageError where the login may not do it, LocksNotTaken where the table stays locked.
    """
    try:
        if await _installed(connection, trigger, relation):
            await connection.execute(trigger.create_function())
            return False

        async def install() -> None:
            await connection.execute(trigger.create_function())
            await connection.execute(f"DROP TRIGGER IF EXISTS {trigger.trigger} ON {trigger.relation}")
            await connection.execute(trigger.create_trigger())

        await locked(connection, [trigger.relation], WRITERS_WAIT, install, patience)
    except asyncpg.InsufficientPrivilegeError as error:
        raise UsageError(
            f"This login may not do that ({first_line(error)}); run it as the owner of the table."
        ) from error
    return True


async def _installed(connection: Connection, trigger: SyncTrigger, relation: int) -> bool:
    return bool(await connection.fetchval(load("dualwrite")["installed"], relation, trigger_name(trigger.name)))


async def drop(connection: Connection, name: str, patience: Patience) -> list[str]:
    """Removes the triggers of that name and their functions; the tables on which they were."""
    wanted = trigger_name(name)
    quoted = quote_identifier(wanted)
    tables = [row["relation"] for row in await connection.fetch(load("dualwrite")["triggers"], wanted)]
    try:
        for table in tables:

            async def remove(table: str = table) -> None:
                await connection.execute(f"DROP TRIGGER IF EXISTS {quoted} ON {table}")

            await locked(connection, [table], "ACCESS EXCLUSIVE", remove, patience)
        for row in await connection.fetch(load("dualwrite")["functions"], wanted):
            await connection.execute(f"DROP FUNCTION IF EXISTS {row['function']}()")
    except asyncpg.InsufficientPrivilegeError as error:
        raise UsageError(
            f"This login may not do that ({first_line(error)}); run it as the owner of the table."
        ) from error
    return tables
