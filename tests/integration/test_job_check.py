"""What INSERT says besides a refusal, what it fills in, and what can change afterwards."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest


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
