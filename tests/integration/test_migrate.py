"""Installing the schema, and recognising one that does not fit."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import anyio
import asyncpg
import pytest

from pgbackfill.database.migrate import check_schema, migrate, migration_sql, migrations
from pgbackfill.errors import SchemaMismatch

STEPS = sorted(migrations())
INVENTORY = """
SELECT 'relation', c.relname || coalesce(c.relacl::text, ''), pg_get_viewdef(c.oid) FROM pg_class c
WHERE c.relnamespace = 'pgbackfill'::regnamespace
UNION ALL
SELECT 'function', p.oid::regprocedure::text || p.proacl::text, pg_get_functiondef(p.oid) FROM pg_proc p
WHERE p.pronamespace = 'pgbackfill'::regnamespace
UNION ALL
SELECT 'column', a.attrelid::regclass || '.' || a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'pgbackfill'::regnamespace
UNION ALL
SELECT 'trigger', t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'pgbackfill'::regnamespace AND NOT t.tgisinternal
ORDER BY 1, 2, 3
"""


@pytest.fixture
async def empty(postgres: Any) -> AsyncIterator[Any]:
    """A function that connects to a database without the schema; the superuser's connection if no login is given."""
    name = f"empty_{secrets.token_hex(6)}"
    await postgres.execute(f"CREATE DATABASE {name}")
    opened: list[asyncpg.Connection[Any]] = []

    async def connect(**login: str) -> asyncpg.Connection[Any]:
        opened.append(await asyncpg.connect(postgres.dsn(name, **login)))
        return opened[-1]

    yield connect
    for connection in opened:
        await connection.close()
    await postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_two_at_once_apply_every_step_once(empty: Any) -> None:
    results: list[list[int]] = []

    async def one() -> None:
        results.append(await migrate(await empty()))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(one)
    assert sorted(results) == [[], [], STEPS]
    await check_schema(await empty())


async def test_the_printed_script_does_the_same_and_can_be_repeated(empty: Any, database: Any) -> None:
    connection = await empty()
    await connection.execute("CREATE SCHEMA elsewhere; SET search_path = elsewhere")
    for _ in range(2):
        await connection.execute(migration_sql())
    assert await connection.fetchval("SHOW search_path") == "elsewhere"
    assert await migrate(connection) == []
    await check_schema(connection)
    await connection.execute("SET search_path = public")
    assert await connection.fetch(INVENTORY) == await (await database.connect()).fetch(INVENTORY)


async def test_a_failing_step_leaves_nothing_behind(empty: Any) -> None:
    connection = await empty()
    await connection.execute("CREATE SCHEMA pgbackfill; CREATE TABLE pgbackfill.events (mine int)")
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(connection)
    assert await connection.fetchval("SELECT to_regclass('pgbackfill.jobs')") is None


async def test_a_missing_an_old_and_a_new_schema_are_told_apart(empty: Any) -> None:
    connection = await empty()
    with pytest.raises(SchemaMismatch, match=r"is missing in this database; run `pgbackfill migrate`\.$"):
        await check_schema(connection)
    await migrate(connection)
    await connection.execute("DELETE FROM pgbackfill.schema_version WHERE version = $1", STEPS[-1])
    with pytest.raises(SchemaMismatch, match=rf"too old \(step {STEPS[-1]} .* run `pgbackfill migrate`\.$"):
        await check_schema(connection)
    await connection.execute("INSERT INTO pgbackfill.schema_version VALUES ($1), (9999)", STEPS[-1])
    for refuse in (check_schema, migrate):
        with pytest.raises(SchemaMismatch, match=r"step 9999, newer .*; upgrade pgbackfill\.$"):
            await refuse(connection)


async def test_a_login_without_rights_is_told_what_to_ask_for(database: Any) -> None:
    stranger = await database.connect(await database.login())
    name = await stranger.fetchval("SELECT current_user")
    with pytest.raises(SchemaMismatch, match=f"GRANT pgbackfill_daemon TO {name}"):
        await check_schema(stranger)
    with pytest.raises(SchemaMismatch, match=f"GRANT pgbackfill_daemon TO {name}"):
        await migrate(stranger)
    for role in ("daemon", "enqueuer", "viewer", "worker"):
        await check_schema(await database.connect(await database.login(f"pgbackfill_{role}")))


async def test_whoever_may_not_create_a_schema_or_roles_is_told_so(postgres: Any, empty: Any) -> None:
    admin = await empty()
    login, password = f"owner_{secrets.token_hex(4)}", secrets.token_hex(8)
    await admin.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{password}'")
    try:
        owner = await empty(user=login, password=password)
        with pytest.raises(SchemaMismatch, match="permission denied for database"):
            await migrate(owner)
        # An owner of the database is enough, as long as the group roles exist already.
        await migrate(admin)
        await admin.execute(f"DROP SCHEMA pgbackfill CASCADE; GRANT CREATE ON DATABASE {await _name(admin)} TO {login}")
        assert await migrate(owner) == STEPS
        step = next(text for text in migrations().values() if "CREATE ROLE" in text)
        renamed = step.replace("'pgbackfill_viewer'", "'pgbackfill_unseen'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="may not create roles") as caught:
            await owner.execute(renamed)
        assert caught.value.hint == "let an admin run `CREATE ROLE pgbackfill_unseen NOLOGIN` first"
    finally:
        await admin.execute(f"DROP OWNED BY {login} CASCADE; DROP ROLE {login}")


async def _name(connection: asyncpg.Connection[Any]) -> str:
    return str(await connection.fetchval("SELECT current_database()"))
