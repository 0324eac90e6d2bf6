"""What a restricted enqueuer and a hostile job try, and how each attempt ends (the table of docs/security.md)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from support.field import Field, eventually
from support.hostile import BY_ENQUEUER, BY_JOB, NO_RIGHT

PAGE = Path(__file__).parents[2] / "docs" / "security.md"

TABLES = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "CREATE TABLE t2 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "INSERT INTO t1 SELECT generate_series(1, 20)",
    "INSERT INTO t2 SELECT generate_series(1, 20)",
    "CREATE TABLE private (secret text)",
    "INSERT INTO private VALUES ('x')",
    "CREATE SCHEMA evil",
)
PGBACKFILLS_OWN = """
SELECT (SELECT array_agg(j::text ORDER BY id) FROM pgbackfill.jobs AS j WHERE name = 'victim'),
       (SELECT array_agg(r::text ORDER BY r.id) FROM pgbackfill.ranges AS r JOIN pgbackfill.jobs AS j ON j.id = job_id
         WHERE j.name = 'victim'),
       (SELECT array_agg(q::text) FROM pgbackfill.quarantine AS q), (SELECT count(*) FROM private)
"""


async def _login(field: Field, group: str, *grants: str) -> tuple[str, str]:
    dsn: str = await field.database.login(group)
    name = dsn.split("//")[1].split(":")[0]
    for grant in grants:
        await field.execute(grant.format(name))
    return dsn, name


async def _with_victim(database: Any) -> Field:
    """Another's job, which stopped in the middle with its range open."""
    field = await Field.open(database, *TABLES)
    await field.enqueue(name="victim", table_name="t2", options={"max_rows_per_s": 50, "chunk_max_rows": 1})
    async with field.daemon():
        await eventually(lambda: field.value("SELECT count(*) > 1 FROM t2 WHERE n = 1"))
        await field.execute("SELECT pgbackfill.pause('victim')")
        await eventually(lambda: field.value("SELECT status = 'paused' FROM pgbackfill.jobs"))
    await field.execute("UPDATE pgbackfill.ranges SET token_hash = sha256('secret')")
    return field


@pytest.mark.newest
async def test_what_an_enqueuer_tries(database: Any) -> None:
    field = await _with_victim(database)
    before = await field.rows(PGBACKFILLS_OWN)
    dsn, name = await _login(
        field, "pgbackfill_enqueuer", "GRANT ALL ON t1, t2 TO {}", "GRANT ALL ON SCHEMA evil TO {}"
    )
    enqueuer = await database.connect(dsn)
    for attempt in BY_ENQUEUER:
        refused: asyncpg.PostgresError | None = None
        try:
            async with enqueuer.transaction():  # LOCK wants one
                await enqueuer.execute(attempt.sql)
        except asyncpg.PostgresError as error:
            refused = error
        assert refused is not None, f"let through: {attempt.name}"
        assert refused.sqlstate == attempt.sqlstate, (attempt.name, refused)
        assert "\n" not in refused.message, attempt.name
    assert await field.rows(PGBACKFILLS_OWN) == before
    await field.execute(f"DROP OWNED BY {name}")


@pytest.mark.newest
async def test_objects_in_the_search_path_of_an_enqueuer_are_not_mistaken_for_pgbackfills(database: Any) -> None:
    """Functions, operators and tables of these names are found first; what runs with more rights looks past them."""
    field = await _with_victim(database)
    dsn, name = await _login(field, "pgbackfill_enqueuer", "GRANT ALL ON t1 TO {}", "GRANT ALL ON SCHEMA evil TO {}")
    await field.execute("CREATE TABLE evil.stolen (who text, what text)")
    await field.execute("GRANT ALL ON evil.stolen TO PUBLIC; GRANT USAGE ON SCHEMA evil TO PUBLIC")
    enqueuer = await database.connect(dsn)
    steal = "LANGUAGE sql AS $$ INSERT INTO evil.stolen VALUES (current_user, '{}'); SELECT {} $$"
    for function, result in (
        ("sha256(bytea) RETURNS bytea", "$1"), ("clock_timestamp() RETURNS timestamptz", "now()"),
        ("current_setting(text) RETURNS text", "''::text"), ("format(text, text) RETURNS text", "$1"),
        ("jsonb_typeof(jsonb) RETURNS text", "'object'::text"), ("same(bytea, bytea) RETURNS boolean", "true"),
        ("same(text, text) RETURNS boolean", "true"), ("same(bigint, bigint) RETURNS boolean", "true"),
        ("pg_notify(text, text) RETURNS void", "NULL::void"),
    ):  # fmt: skip
        await enqueuer.execute(f"CREATE FUNCTION evil.{function} {steal.format(function, result)}")
    for kind in ("bytea", "text", "bigint"):
        await enqueuer.execute(f"CREATE OPERATOR evil.= (LEFTARG = {kind}, RIGHTARG = {kind}, FUNCTION = evil.same)")
    await enqueuer.execute("CREATE TABLE evil.jobs (); CREATE TABLE evil.ranges (); SET search_path = evil, pg_catalog")
    await enqueuer.execute(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('job', 'public.t1', 'n = n + 1')"
    )
    await enqueuer.execute(
        "SELECT pgbackfill.pause('job'), pgbackfill.resume('job'), pgbackfill.throttle('job', 0.9, '1s')"
    )
    await enqueuer.execute("SELECT pgbackfill.unthrottle('job'), pgbackfill.cancel('job'), pgbackfill.retry('job')")
    stolen = await field.rows("SELECT DISTINCT who, what FROM evil.stolen")
    assert [what for who, what in stolen if who != name] == []
    # And the daemon: what its own statements say is looked up in pg_catalog first, or qualified.
    work, worker = await _login(field, "pgbackfill_worker", "GRANT SELECT, UPDATE ON t1 TO {}")
    assert await field.drain(work_dsn=work) == 0, await field.error()
    assert await field.rows("SELECT n, count(*) FROM t1 GROUP BY 1") == [(1, 20)]
    told = await field.rows("SELECT DISTINCT what FROM evil.stolen WHERE who <> $1", name)
    assert all("bytea" not in what for (what,) in told), told
    await field.execute(f"DROP OWNED BY {name}, {worker} CASCADE")


@pytest.mark.newest
async def test_what_jobs_try(database: Any) -> None:
    """Their functions pass the check at INSERT, which runs nothing, and are then run by the work login."""
    field = await _with_victim(database)
    before = await field.rows(PGBACKFILLS_OWN)
    work, name = await _login(field, "pgbackfill_worker")
    for number, attempt in enumerate(BY_JOB):
        quoted = attempt.sql.replace("'", "''").replace("{target}", f"target_{number}")
        await field.execute(
            f"CREATE FUNCTION attempt_{number}() RETURNS int LANGUAGE plpgsql AS"
            f" $$ BEGIN EXECUTE '{quoted}'; RETURN 1; END $$;"
            f"CREATE TABLE target_{number} AS SELECT * FROM t1; ALTER TABLE target_{number} ADD PRIMARY KEY (id);"
            f"GRANT SELECT, UPDATE ON target_{number} TO {name}"
        )
        await field.enqueue(
            name=f"job-{number}", table_name=f"target_{number}", set_clause=f"n = n + attempt_{number}()"
        )
    assert await field.drain(work_dsn=work, chunk_max_rows=3) == 1
    for number, attempt in enumerate(BY_JOB):
        error = await field.error(f"job-{number}")
        changed = await field.value(f"SELECT count(*) FROM target_{number} WHERE n = 1")
        if attempt.sqlstate is None:
            assert (error, changed) == (None, 20), attempt.name
        else:
            assert f"(SQLSTATE {attempt.sqlstate})" in (error or ""), (attempt.name, error)
            assert changed == 0, attempt.name
    assert await field.rows(PGBACKFILLS_OWN) == before
    await field.execute("SELECT pgbackfill.resume('victim')")
    await field.execute("UPDATE pgbackfill.jobs SET options = '{}' WHERE name = 'victim'")
    assert await field.drain() == 0
    assert await field.rows("SELECT n, count(*) FROM t2 GROUP BY 1") == [(1, 20)]
    await field.execute(f"DROP OWNED BY {name}")


@pytest.mark.newest
async def test_the_token_of_a_chunk_cannot_be_read_by_its_job(database: Any) -> None:
    """Bound, so in no text of a statement; and what the server keeps is a hash."""
    field = await Field.open(database, *TABLES, "ALTER TABLE t1 ADD COLUMN seen text")
    work, name = await _login(field, "pgbackfill_worker", "GRANT SELECT, UPDATE ON t1 TO {}")
    looks = (
        "concat(current_query(), (SELECT string_agg(concat(query, '|'), '') FROM pg_stat_activity),"
        " (SELECT string_agg(statement, '|') FROM pg_prepared_statements),"
        " (SELECT string_agg(setting, '|') FROM pg_settings))"
    )
    await field.enqueue(table_name="t1", set_clause=f"n = n + 1, seen = {looks}")
    assert await field.drain(work_dsn=work) == 0, await field.error()
    seen = await field.value("SELECT string_agg(seen, '') FROM t1")
    assert "pgbackfill job=job" in seen
    assert re.findall(r"\\x[0-9a-f]{32,}", seen) == []
    await field.execute(f"DROP OWNED BY {name}")


@pytest.mark.newest
async def test_what_is_not_stopped_a_job_can_do_whatever_its_work_login_can(database: Any) -> None:
    """The enqueuer has no right on t2; its function has, once the work login runs it."""
    field = await Field.open(database, *TABLES)
    dsn, enqueuer = await _login(
        field, "pgbackfill_enqueuer", "GRANT SELECT, UPDATE ON t1 TO {}", "GRANT ALL ON SCHEMA evil TO {}"
    )
    work, worker = await _login(
        field, "pgbackfill_worker", "GRANT SELECT, UPDATE, DELETE ON t1, t2 TO {}", "GRANT USAGE ON SCHEMA evil TO {}"
    )
    connection = await database.connect(dsn)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DELETE FROM t2")
    await connection.execute(
        "CREATE FUNCTION evil.gone() RETURNS int LANGUAGE sql AS 'DELETE FROM public.t2; SELECT 1'"
    )
    await field.enqueue(connection, table_name="t1", set_clause="n = evil.gone()")
    assert await field.drain(work_dsn=work) == 0, await field.error()
    assert await field.value("SELECT count(*) FROM t2") == 0
    await field.execute(f"DROP OWNED BY {enqueuer}, {worker} CASCADE")


def test_the_page_has_every_attempt() -> None:
    text = PAGE.read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE)
    assert [attempt.name for attempt in (*BY_ENQUEUER, *BY_JOB) if attempt.name not in listed] == []
    assert NO_RIGHT in text
