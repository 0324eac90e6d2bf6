"""What is refused at INSERT, with the column that is named and a piece of the sentence; and nothing is executed."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

Refused = tuple[dict[str, Any], str, str]

SET = {"set_clause": "n = 1"}
MIB = 1 << 20

SHAPE: list[Refused] = [
    ({"name": "Users", **SET}, "name", "a-z"),
    ({"name": "-x", **SET}, "name", "beginning with a letter or digit"),
    ({"name": "", **SET}, "name", "1 to 200"),
    ({"name": "x" * 201, **SET}, "name", "1 to 200"),
    ({"name": "a b\n", **SET}, "name", "a-z"),
    ({"name": None, **SET}, "name", "must not be null"),
    ({"operation": "upsert", **SET}, "operation", "update, delete, statement or handler"),
    ({"operation": None, **SET}, "operation", "must not be null"),
    ({"operation": "copy", "target_table": "users_new"}, "operation", "not available in this version"),
    ({"operation": "handler"}, "handler", "is missing; operation handler needs it"),
    ({"operation": "handler", "handler": "no spaces"}, "handler", "must be 1 to 200 of"),
    ({"operation": "handler", "handler": "mail", "params": "[1]"}, "params", "must be a JSON object"),
    ({"operation": "handler", "handler": "mail", **SET}, "set_clause", "does not go with operation handler"),
    ({"operation": "handler", "handler": "mail", "where_clause": "nothing"}, "where_clause", "nothing"),
    ({}, "set_clause", "is missing"),
    ({"set_clause": " \n"}, "set_clause", "must not be empty"),
    ({"where_clause": "", **SET}, "where_clause", "leave it out"),
    ({"operation": "delete", **SET}, "set_clause", "does not go with operation delete"),
    ({"statement": "DELETE FROM users", **SET}, "statement", "does not go with operation update"),
    ({"operation": "statement"}, "statement", "is missing"),
    (
        {"operation": "statement", "statement": "DELETE FROM orders WHERE id IN (SELECT id FROM chunk)", **SET},
        "set_clause",
        "does not go with operation statement",
    ),
    (
        {"operation": "statement", "statement": "DELETE FROM orders", "from_clause": "orders"},
        "from_clause",
        "does not go with operation statement",
    ),
    ({"target_table": "users", **SET}, "target_table", "does not go with"),
    ({"handler": "mail", **SET}, "handler", "does not go with"),
    ({"params": {"a": 1}, **SET}, "params", "does not go with"),
    ({"params": None, **SET}, "params", "must not be null"),
    ({"where_clause": f"n = 1 /* {'x' * MIB} */", **SET}, "where_clause", "at most 1 MiB"),
    ({"desired_state": "stop", **SET}, "desired_state", "run, pause or cancel"),
    ({"priority": None, **SET}, "priority", "leave it out for the default"),
]

OPTIONS: list[Refused] = [
    ({"options": {"chunk_target": 50}, **SET}, "options", "nearest is chunk_target_ms"),
    ({"options": {"lagsofts": 1}, **SET}, "options", "the nearest is lag_soft_s"),
    ({"options": {"chunk_target_ms": 0}, **SET}, "options", "chunk_target_ms must be at least 1 and at most 60000 ms"),
    ({"options": {"chunk_target_ms": 1.5}, **SET}, "options", "whole number in ms"),
    ({"options": {"chunk_target_ms": "100ms"}, **SET}, "options", 'whole number in ms, not "100ms"'),
    ({"options": {"lag_soft_s": 0}, **SET}, "options", "lag_soft_s must be above 0"),
    ({"options": {"lag_soft_s": 6}, **SET}, "options", "lag_soft_s (6) must not be above lag_hard_s (5, the default)"),
    ({"options": {"chunk_min_rows": 9, "chunk_max_rows": 8}, **SET}, "options", "must not be above chunk_max_rows (8)"),
    ({"options": {"synchronous_commit": "never"}, **SET}, "options", "one of off, local"),
    ({"options": {"parallelism": 65}, **SET}, "options", "parallelism must be at least 1 and at most 64 lanes, not 65"),
    ({"options": {"duty_max": True}, **SET}, "options", "must be a number"),
    ({"options": None, **SET}, "options", "must not be null"),
]

SETTINGS: list[Refused] = [
    ({"session_settings": {"work_memory": "1MB"}, **SET}, "session_settings", "work_memory"),
    ({"session_settings": {"work_mem": "a lot"}, **SET}, "session_settings", "cannot be set"),
    ({"session_settings": {"work_mem": ["64MB"]}, **SET}, "session_settings", "a string, a number or a boolean"),
    ({"session_settings": {"work_mem": None}, **SET}, "session_settings", "a string, a number or a boolean"),
    ({"session_settings": {"Search_Path": "x"}, **SET}, "session_settings", "that of the enqueuing session"),
    ({"session_settings": {"statement_timeout": 0}, **SET}, "session_settings", "statement_timeout_ms in options"),
    ({"session_settings": {"synchronous_commit": "off"}, **SET}, "session_settings", "set it in options"),
    ({"session_settings": {"role": "postgres"}, **SET}, "session_settings", "belongs to pgbackfill"),
    ({"session_settings": {"transaction_read_only": True}, **SET}, "session_settings", "belongs to pgbackfill"),
    ({"session_settings": {"enable_seqscan": False}, **SET}, "session_settings", "belongs to pgbackfill"),
]

TABLE: list[Refused] = [
    ({"table_name": "missing", **SET}, "table_name", "is not a table here"),
    ({"table_name": "nowhere.users", **SET}, "table_name", "is not a table here"),
    ({"table_name": 'users"', **SET}, "table_name", "is not a table here"),
    ({"table_name": "users; DROP TABLE users", **SET}, "table_name", "is not a table here"),
    ({"table_name": "Users Of Ours", **SET}, "table_name", "quotes where the name needs them"),
    ({"table_name": "1259", **SET}, "table_name", "is not a table here"),
    ({"table_name": "-", **SET}, "table_name", "is not a table here"),
    ({"table_name": "some_view", **SET}, "table_name", "is a view"),
    ({"table_name": "some_matview", **SET}, "table_name", "is a materialized view"),
    ({"table_name": "users_pkey", **SET}, "table_name", "is not a table"),
    ({"table_name": "pg_catalog.pg_class", **SET}, "table_name", "is a system catalog"),
    ({"table_name": "pgbackfill.jobs", **SET}, "table_name", "belongs to pgbackfill itself"),
    ({"table_name": "passing", **SET}, "table_name", "is a temporary table"),
    ({"table_name": "family", **SET}, "table_name", "has inheritance children"),
    ({"table_name": "ruled", **SET}, "table_name", "has rules"),
    ({"table_name": "foreign_users", **SET}, "table_name", "is a foreign table"),
    ({"table_name": None, **SET}, "table_name", "must not be null"),
]
TABLES = """
CREATE VIEW some_view AS SELECT * FROM users;
CREATE MATERIALIZED VIEW some_matview AS SELECT * FROM users;
CREATE TEMPORARY TABLE passing (id int PRIMARY KEY, n int);
CREATE TABLE family (id int PRIMARY KEY, n int);
CREATE TABLE child () INHERITS (family);
CREATE TABLE ruled (id int PRIMARY KEY, n int);
CREATE RULE no_change AS ON UPDATE TO ruled DO INSTEAD NOTHING;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE foreign_users (id int, n int) SERVER nowhere;
"""

BOUNDS: list[Refused] = [
    ({"from_key": ["x"], **SET}, "from_key", 'bigint (invalid input syntax for type bigint: "x")'),
    ({"to_key": ["99999999999999999999"], **SET}, "to_key", "out of range"),
    ({"from_key": [], **SET}, "from_key", "must hold one value"),
    ({"from_key": ["1", "2"], **SET}, "from_key", "must hold one value"),
    ({"to_key": [None], **SET}, "to_key", "none of them null"),
    ({"from_key": ["2"], "to_key": ["1"], **SET}, "to_key", "must not be below from_key (2)"),
    ({"table_name": "visits", "from_key": ["1", "soon"], **SET}, "from_key", '"soon" is not a value of day'),
    (
        {"table_name": "visits", "from_key": ["1", "2025-02-01"], "to_key": ["1", "2025-01-01"], **SET},
        "to_key",
        "must not be below",
    ),
]


@pytest.mark.parametrize(
    "rows", [SHAPE, OPTIONS, SETTINGS, TABLE, BOUNDS], ids=["shape", "options", "settings", "table", "bounds"]
)
async def test_a_bad_row_is_refused_with_the_name_of_its_column(shop: Any, rows: list[Refused]) -> None:
    await shop.connection.execute(TABLES)
    for row, column, fragment in rows:
        error = await shop.refusal(**row)
        assert error.column_name == column, f"{row}: {error.message}"
        assert fragment in error.message, f"{row}: {error.message}"
    assert await shop.untouched()


async def test_options_that_do_not_exist_are_answered_with_those_that_do(shop: Any) -> None:
    error = await shop.refusal(set_clause="n = 1", options={"speed": "high"})
    for name in ("chunk_target_ms", "lag_hard_s", "parallelism"):
        assert name in error.hint


async def test_what_pgbackfill_writes_cannot_be_forged(shop: Any) -> None:
    job = await shop.insert(
        set_clause="n = 1", status="succeeded", error="none", enqueued_by="somebody", search_path="elsewhere",
        time_zone="Mars/Olympus", relation=1, root_relation=2, wait_reason="lunch",
    )  # fmt: skip
    assert (job["status"], job["error"], job["wait_reason"], job["enqueued_by"]) == ("queued", None, None, "postgres")
    oid = await shop.connection.fetchval("SELECT 'users'::regclass::oid")
    assert (job["relation"], job["root_relation"]) == (oid, oid)
    assert job["search_path"] == "public, pg_temp"
    assert job["time_zone"] == await shop.connection.fetchval("SHOW TimeZone")


async def test_the_search_path_and_time_zone_of_the_enqueuer_are_kept(shop: Any) -> None:
    await shop.connection.execute(
        'CREATE SCHEMA "Odd, One"; CREATE TABLE "Odd, One".things (id int PRIMARY KEY, n int)'
    )
    path = '"$user", missing, "Odd, One", public'
    await shop.connection.execute(f"SET search_path = {path}; SET TimeZone = 'Asia/Tokyo'")
    job = await shop.insert(table_name="things", set_clause="n = (SELECT max(n) FROM things)")
    assert job["search_path"] == '"Odd, One", public, pg_temp'
    assert job["time_zone"] == "Asia/Tokyo"
    assert await shop.connection.fetchval("SHOW search_path") == path
    again = await shop.connection.fetchval("SELECT set_config('search_path', $1, false)", job["search_path"])
    assert again == job["search_path"]


async def test_a_second_run_of_a_migration_changes_nothing(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    # The column is gone, so the row would be refused now; but it is not a new one.
    await shop.connection.execute("ALTER TABLE users DROP COLUMN n")
    insert = "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('job', 'users', 'n = 1')"
    assert await shop.connection.execute(f"{insert} ON CONFLICT (name) DO NOTHING") == "INSERT 0 0"
    with pytest.raises(Exception, match="jobs_name_key"):
        await shop.connection.execute(insert)


async def test_bounds_are_kept_in_the_text_that_chunks_write(shop: Any) -> None:
    await shop.connection.execute("SET DateStyle = 'SQL, DMY'")
    job = await shop.insert(table_name="visits", set_clause="n = 1", from_key=["007"], to_key=["7", "20250201"])
    assert (job["from_key"], job["to_key"]) == (["7"], ["7", "2025-02-01"])


async def test_the_sql_of_a_job_is_frozen(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    for column, value in (
        ("name", "'other'"), ("table_name", "'orders'"), ("set_clause", "'n = 2'"), ("where_clause", "'n = 2'"),
        ("from_clause", "'orders'"), ("operation", "'delete'"), ("key_columns", "'{n}'"), ("to_key", "'{7}'"),
        ("session_settings", """'{"work_mem": "1GB"}'"""), ("enqueued_by", "'somebody'"), ("search_path", "'x'"),
        ("relation", "1"),
    ):  # fmt: skip
        with pytest.raises(asyncpg.InvalidParameterValueError, match=f"{column}: cannot be changed after INSERT"):
            await shop.connection.execute(f"UPDATE pgbackfill.jobs SET {column} = {value}")


async def test_options_are_checked_again_when_they_change(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    await shop.connection.execute(
        """UPDATE pgbackfill.jobs SET options = '{"chunk_target_ms": 20, "duty_max": null}'"""
    )
    with pytest.raises(Exception, match="options: chunk_target_ms must be at least 1"):
        await shop.connection.execute("""UPDATE pgbackfill.jobs SET options = '{"chunk_target_ms": -1}'""")


async def test_a_locked_table_is_not_waited_for_without_end(shop: Any) -> None:
    other = await shop.database.connect()
    async with other.transaction():
        await other.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        await shop.connection.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError) as caught:
            await shop.insert(set_clause="n = 1")
        pid = other.get_server_pid()
        assert caught.value.message == (
            f"table_name: users is locked by pid {pid}, and the check waited 50ms;"
            " insert the job again when that transaction has ended"
        )
        await shop.connection.execute("RESET lock_timeout")
        with pytest.raises(asyncpg.LockNotAvailableError, match="the check waited 2s"):
            await shop.insert(set_clause="n = (SELECT count(*) FROM users)", table_name="orders")
    await shop.connection.execute("BEGIN; SET LOCAL lock_timeout = '7s'")
    await shop.insert(set_clause="n = 1")
    assert await shop.connection.fetchval("SHOW lock_timeout") == "7s"
    await shop.connection.execute("COMMIT")
    assert await shop.connection.fetchval("SHOW lock_timeout") == "0"
