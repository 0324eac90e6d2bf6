"""Who may do what: the group roles, and the rights of an enqueuer on the tables of a job."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import pytest

JOB = {"set_clause": "n = 1", "where_clause": "n = 0"}


async def _as(shop: Any, *groups: str) -> tuple[asyncpg.Connection[Any], str]:
    connection = await shop.database.connect(await shop.database.login(*groups))
    return connection, await connection.fetchval("SELECT current_user")


async def _follow(shop: Any, grant: str) -> None:
    """Run the GRANT that a message named."""
    found = re.search(r"GRANT [A-Z, ]+ ON [\w. ]+ TO \w+", grant)
    assert found, grant
    await shop.connection.execute(found[0])


async def test_an_enqueuer_needs_rights_on_the_table_and_is_told_which(shop: Any) -> None:
    alice, name = await _as(shop, "pgbackfill_enqueuer")
    error = await shop.refusal(alice, **JOB)
    assert error.column_name == "table_name"
    assert error.message.endswith(f"GRANT SELECT, UPDATE ON public.users TO {name}")
    await _follow(shop, error.message)
    job = await shop.insert(alice, **JOB)
    assert job["enqueued_by"] == name
    error = await shop.refusal(alice, name="gone", operation="delete")
    await _follow(shop, error.message)
    await shop.insert(alice, name="gone", operation="delete")


async def test_rights_on_single_columns_are_enough(shop: Any) -> None:
    alice, name = await _as(shop, "pgbackfill_enqueuer")
    await shop.connection.execute(f"GRANT SELECT (id, n), UPDATE (n) ON users TO {name}")
    await shop.insert(alice, **JOB)
    error = await shop.refusal(alice, name="other", set_clause="email = 'x'")
    assert "GRANT SELECT, UPDATE ON public.users" in error.message


async def test_rights_on_a_partitioned_table_say_nothing_about_its_leaves(shop: Any) -> None:
    alice, name = await _as(shop, "pgbackfill_enqueuer")
    row = {"table_name": "visits", **JOB}
    await shop.connection.execute(f"GRANT ALL ON visits TO {name}")
    for leaf in ("visits_old", "visits_new"):
        error = await shop.refusal(alice, **row)
        assert (error.column_name, f"ON public.{leaf}" in error.message) == ("table_name", True), error.message
        await _follow(shop, error.message)
    await shop.connection.execute(f"REVOKE ALL ON visits FROM {name}")
    await shop.insert(alice, **row)


async def test_a_schema_without_usage_is_named(shop: Any) -> None:
    alice, name = await _as(shop, "pgbackfill_enqueuer")
    await shop.connection.execute(f"CREATE SCHEMA inner_room; CREATE TABLE inner_room.box (id int PRIMARY KEY, n int);"
                                  f"GRANT ALL ON inner_room.box TO {name}")  # fmt: skip
    error = await shop.refusal(alice, table_name="inner_room.box", **JOB)
    assert error.column_name == "table_name"
    assert "permission denied for schema inner_room" in error.message


async def test_rights_on_the_other_tables_are_needed_too(shop: Any) -> None:
    alice, name = await _as(shop, "pgbackfill_enqueuer")
    await shop.connection.execute(f"GRANT ALL ON users TO {name}")
    for row, column in (
        ({"set_clause": "n = 1", "from_clause": "orders AS o"}, "from_clause"),
        ({"set_clause": "n = (SELECT count(*) FROM orders)"}, "set_clause"),
        ({"set_clause": "n = 1", "where_clause": "EXISTS (SELECT FROM orders)"}, "set_clause"),
        ({"operation": "delete", "where_clause": "EXISTS (SELECT FROM orders)"}, "where_clause"),
        ({"operation": "statement", "statement": "INSERT INTO orders (user_id) SELECT id FROM chunk"}, "statement"),
    ):
        error = await shop.refusal(alice, **row)
        assert error.column_name == column
        assert "permission denied for table orders" in error.message
        assert error.message.endswith(f" to {name}")


async def test_row_level_security_is_not_ignored(shop: Any) -> None:
    alice, name = await _as(shop, "pgbackfill_enqueuer")
    await shop.connection.execute(
        f"GRANT ALL ON users TO {name}; ALTER TABLE users ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY own ON users USING (id > 1)"
    )
    error = await shop.refusal(alice, **JOB)
    assert error.column_name == "session_settings"
    assert '{"row_security": "on"}' in error.message
    await shop.insert(alice, session_settings={"row_security": "on"}, **JOB)


async def test_an_enqueuer_cannot_write_what_pgbackfill_writes(shop: Any) -> None:
    alice, name = await _as(shop, "pgbackfill_enqueuer")
    await shop.connection.execute(f"GRANT ALL ON users TO {name}")
    await shop.insert(alice, **JOB)
    for forged in (
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, status) VALUES ('x', 'users', 'n = 1', 'queued')",
        "UPDATE pgbackfill.jobs SET status = 'succeeded'",
        "UPDATE pgbackfill.jobs SET set_clause = 'n = 2'",
        "DELETE FROM pgbackfill.jobs",
        "INSERT INTO pgbackfill.events (job_id, event) VALUES (1, 'forged')",
        "SELECT token_hash FROM pgbackfill.ranges",
        "SELECT * FROM pgbackfill.begin_chunk(1, 1, '\\x00')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await alice.execute(forged)
    await alice.execute("""UPDATE pgbackfill.jobs SET options = '{"chunk_target_ms": 9}', priority = 5""")
    await alice.execute("SELECT pgbackfill.pause('job'), pgbackfill.resume('job'), pgbackfill.cancel('job')")
    assert await alice.fetchval("SELECT pgbackfill.retry('job')") == "queued"
    assert await alice.fetchval("SELECT status FROM pgbackfill.progress") == "queued"
    actors = await alice.fetch("SELECT DISTINCT actor FROM pgbackfill.events")
    assert [row["actor"] for row in actors] == [name]


async def test_a_function_enqueues_under_the_rights_and_the_path_of_its_caller(shop: Any) -> None:
    alice, name = await _as(shop, "pgbackfill_enqueuer")
    call = "SELECT pgbackfill.enqueue('job', 'users', 'n = 1', where_clause => 'n = 0')"
    with pytest.raises(asyncpg.PostgresError, match=r"GRANT SELECT, UPDATE ON public\.users"):
        await alice.fetchval(call)
    await shop.connection.execute(f"GRANT ALL ON users TO {name}")
    assert await alice.fetchval(call) == await alice.fetchval(call)


async def test_a_viewer_sees_progress_and_events_and_nothing_else(shop: Any) -> None:
    await shop.insert(**JOB)
    viewer, _ = await _as(shop, "pgbackfill_viewer")
    assert await viewer.fetchval("SELECT name FROM pgbackfill.progress") == "job"
    assert await viewer.fetchval("SELECT event FROM pgbackfill.events") == "enqueued"
    with pytest.raises(asyncpg.PostgresError, match="has not succeeded yet"):
        await viewer.execute("SELECT pgbackfill.assert_finished('job')")
    for forbidden in (
        "SELECT 1 FROM pgbackfill.jobs", "SELECT 1 FROM pgbackfill.ranges", "SELECT 1 FROM pgbackfill.quarantine",
        "SELECT pgbackfill.pause('job')", "SELECT pgbackfill.retry('job')",
    ):  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await viewer.execute(forbidden)


async def test_the_work_login_reaches_the_doors_of_a_chunk_and_nothing_else(shop: Any) -> None:
    worker, _ = await _as(shop, "pgbackfill_worker")
    assert await worker.fetch("SELECT * FROM pgbackfill.begin_chunk(1, 1, '\\x00')") == []
    for table in ("jobs", "ranges", "events", "quarantine", "workers", "progress"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await worker.execute(f"SELECT 1 FROM pgbackfill.{table}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await worker.execute("SELECT pgbackfill.retry('job')")


async def test_a_stranger_cannot_even_look_into_the_schema(shop: Any) -> None:
    stranger, _ = await _as(shop)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema pgbackfill"):
        await stranger.execute("SELECT 1 FROM pgbackfill.progress")
    left_open = await shop.connection.fetch(
        """
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = 'pgbackfill'::regnamespace AND (proacl IS NULL OR proacl::text ~ '[{,]=')
        UNION ALL
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = 'pgbackfill'::regnamespace AND relkind IN ('r', 'v', 'S') AND relacl::text ~ '[{,]='
        """
    )
    assert left_open == []


async def test_every_function_has_a_search_path_of_its_own_but_those_that_need_the_callers(shop: Any) -> None:
    open_path = await shop.connection.fetch(
        """
        SELECT proname FROM pg_proc
        WHERE pronamespace = 'pgbackfill'::regnamespace AND prosqlbody IS NULL
          AND NOT coalesce(proconfig::text, '') ~ 'search_path='
        ORDER BY proname
        """
    )
    assert [row["proname"] for row in open_path] == ["jobs_before_insert", "undo"]
