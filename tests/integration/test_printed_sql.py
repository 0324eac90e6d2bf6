"""The SQL that the how-tos and the runbook print is what a server takes; the program that they print works."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from support.field import eventually

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.newest


def blocks(page: str) -> list[str]:
    """All blocks of SQL, those in Python and Ruby included."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(
        r'```sql\n(.*?)```|op\.execute\(\s*"""(.*?)"""|<<~SQL\n(.*?)\n\s+SQL|execute\(?\s*"(SELECT .*?)"',
        text,
        re.DOTALL,
    )
    return ["".join(parts) for parts in found]


async def finish(connection: Any) -> None:
    await connection.execute("UPDATE pgbackfill.jobs SET status = 'running'")
    await connection.execute("UPDATE users SET email_lower = lower(email)")
    await connection.execute("UPDATE pgbackfill.jobs SET status = 'succeeded'")


async def test_what_migrations_are_told_to_do_can_be_done(database: Any) -> None:
    connection = await database.connect()
    await connection.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL)")
    await connection.execute("INSERT INTO users SELECT i, 'Name' || i || '@Ex.com' FROM generate_series(1, 10) AS i")
    first, second, validate, *others = blocks("how-to/migrations.md")
    await connection.execute(first)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="has not succeeded yet: it is queued at 0 %"):
        await connection.execute(second)
    cancel, without, verify, *enqueue_and_assert = others
    for statement in (without, verify, *(each for each in enqueue_and_assert if "INSERT" in each)):
        await connection.execute(statement)
    assert await connection.fetchval("SELECT count(*) FROM pgbackfill.jobs") == 1
    await finish(connection)
    await connection.execute(second)
    await connection.execute(validate)
    for statement in enqueue_and_assert:
        if "assert_finished" in statement:
            await connection.execute(statement)
    await connection.execute("DELETE FROM pgbackfill.jobs")
    await connection.execute(without)
    await connection.execute(cancel)
    assert await connection.fetchval("SELECT status FROM pgbackfill.jobs") == "cancelled"
    await connection.execute("DROP SCHEMA pgbackfill CASCADE")
    await connection.execute(without)  # a database without pgbackfill


@pytest.mark.parametrize("page", ["runbook.md", "how-to/job.md", "reference/options.md"])
async def test_what_the_pages_print_is_taken(database: Any, page: str) -> None:
    connection = await database.connect()
    await connection.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text)")
    await connection.execute(
        "ALTER TABLE pgbackfill.jobs DISABLE TRIGGER USER;"
        " INSERT INTO pgbackfill.jobs (name, table_name, status)"
        " VALUES ('NAME', 'users', 'queued'), ('users-email-lower', 'users', 'succeeded');"
        " ALTER TABLE pgbackfill.jobs ENABLE TRIGGER USER"
    )
    found = blocks(page)
    found += [each for each in re.findall(r"`((?:SELECT|UPDATE) [^`]*)`", (DOCS / page).read_text()) if "…" not in each]
    assert found
    for statement in found:
        # Everything but the blow itself: the server may have other tests' sessions.
        await connection.execute(statement.replace("pg_terminate_backend(pid)", "pid"))


async def test_a_program_that_follows_a_job_sees_its_end(database: Any) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (DOCS / "how-to/follow.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    connection = await database.connect()
    await connection.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY, n int);"
        " INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('job', 'users', 'n = 1')"
    )
    following = asyncio.create_task(names["ended"](database.dsn, "job"))
    waits = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'"
        " AND query LIKE 'SELECT status FROM pgbackfill.progress%'"
    )
    await eventually(lambda: connection.fetchval(waits))
    await connection.execute("UPDATE pgbackfill.jobs SET status = 'running'")
    await connection.execute("UPDATE pgbackfill.jobs SET status = 'succeeded'")
    assert await asyncio.wait_for(following, 30) == "succeeded"
