"""Installs and checks the schema `pgbackfill`: numbered, forward-only SQL files, each applied once.

One script does it, whoever runs it: `migrate` sends it, `pgbackfill migrate --sql` prints it. It is a single `DO`
statement, so it is atomic in any tool, with or without a transaction around it, and running it again changes nothing.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import asyncpg
import asyncpg.pool

from pgbackfill.errors import SchemaMismatch

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"

OLDEST_SERVER_VERSION = 140_000  # client_connection_check_interval and idle_session_timeout begin here
LOCK_KEY = 0x7067_6266  # "pgbf": one number for every version of pgbackfill, so that any two of them exclude each other

_FILE = re.compile(r"^(\d{4})_\w+\.sql$")


@cache
def migrations() -> dict[int, str]:
    """The text of every migration by its number, in order."""
    folder = files(__package__) / "migrations"
    named = {int(match[1]): entry for entry in folder.iterdir() if (match := _FILE.match(entry.name))}
    return {number: named[number].read_text(encoding="utf-8") for number in sorted(named)}


def migration_sql() -> str:
    """The whole installation as one SQL statement, for `psql` or any other tool."""
    steps = "\n".join(_step(number, text) for number, text in migrations().items())
    return f"""\
-- Installs or upgrades the schema pgbackfill. One statement; running it again changes nothing.
DO $pgbackfill$
DECLARE
    old_search_path text := pg_catalog.current_setting('search_path');
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock({LOCK_KEY});
    IF pg_catalog.current_setting('server_version_num')::int < {OLDEST_SERVER_VERSION} THEN
        RAISE EXCEPTION 'pgbackfill needs Postgres 14 or later, this is %', current_setting('server_version')
            USING ERRCODE = 'feature_not_supported';
    END IF;
    -- Without CREATE on the database, IF NOT EXISTS would still fail for a schema that an admin made beforehand.
    IF pg_catalog.to_regnamespace('pgbackfill') IS NULL THEN
        CREATE SCHEMA IF NOT EXISTS pgbackfill;
    END IF;
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    CREATE TABLE IF NOT EXISTS pgbackfill.schema_version (
        version    int PRIMARY KEY,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        applied_by text NOT NULL DEFAULT session_user
    );
{steps}
    PERFORM pg_catalog.set_config('search_path', old_search_path, true);
END
$pgbackfill$;
"""


def _step(number: int, text: str) -> str:
    tag = f"$pgbackfill_{number:04}$"
    assert tag not in text
    return f"""
    IF NOT EXISTS (SELECT FROM pgbackfill.schema_version WHERE version = {number}) THEN
        EXECUTE {tag}
{text}{tag};
        INSERT INTO pgbackfill.schema_version (version) VALUES ({number});
    END IF;"""


async def migrate(connection: Connection) -> list[int]:
    """Brings the schema up to date in one transaction and returns the numbers that were applied, oldest first.

    Two at once are safe: the second waits, then finds nothing to do. Raises SchemaMismatch if the login may not do it,
    if the server is too old, or if the schema is newer than this program.
    """
    try:
        async with connection.transaction(isolation="read_committed"):
            await connection.execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", LOCK_KEY)
            before = await _applied(connection)
            if newer := before - migrations().keys():
                raise SchemaMismatch(_too_new(max(newer)))
            await connection.execute(migration_sql())
            return sorted(await _applied(connection) - before)
    except asyncpg.InsufficientPrivilegeError as error:
        raise SchemaMismatch(
            f"`pgbackfill migrate` may not do that: {error.message}"
            f"{'; ' + error.hint if error.hint else '; run it as the owner of the database'}."
        ) from error
    except asyncpg.FeatureNotSupportedError as error:
        raise SchemaMismatch(f"{error.message}.") from error
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise SchemaMismatch("This server is read-only; run `pgbackfill migrate` on the primary.") from error


async def pending(connection: Connection) -> list[int]:
    """The numbers that `migrate` would apply, oldest first. Raises SchemaMismatch if the schema is too new."""
    applied = await _applied(connection)
    if newer := applied - migrations().keys():
        raise SchemaMismatch(_too_new(max(newer)))
    return sorted(migrations().keys() - applied)


async def check_schema(connection: Connection) -> None:
    """Raises SchemaMismatch, with what to do, unless the schema is the one that this program was written for."""
    if (version := connection.get_server_version()) < (14,):
        raise SchemaMismatch(f"pgbackfill needs Postgres 14 or later, this is {version.major}.{version.minor}.")
    found = await _applied(connection)
    expected = migrations().keys()
    if not found:
        raise SchemaMismatch("The schema pgbackfill is missing in this database; run `pgbackfill migrate`.")
    if newer := found - expected:
        raise SchemaMismatch(_too_new(max(newer)))
    if older := expected - found:
        raise SchemaMismatch(
            f"The schema pgbackfill is too old (step {min(older)} of {max(expected)} is missing); "
            "run `pgbackfill migrate`."
        )


def _too_new(found: int) -> str:
    return (
        f"The schema pgbackfill is at step {found}, newer than this program (step {max(migrations())}); "
        "upgrade pgbackfill."
    )


async def _applied(connection: Connection) -> set[int]:
    """The numbers of the applied migrations; the catalogs are asked first, because they can be read without rights."""
    readable = await connection.fetchval(
        """
        SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'pgbackfill' AND c.relname = 'schema_version'
        """
    )
    if readable is None:
        return set()
    if not readable:
        login = await connection.fetchval("SELECT quote_ident(current_user)")
        raise SchemaMismatch(
            f"The login {login} may not read the schema pgbackfill; "
            f"an admin can let it in with `GRANT pgbackfill_daemon TO {login}`."
        )
    return {row["version"] for row in await connection.fetch("SELECT version FROM pgbackfill.schema_version")}
