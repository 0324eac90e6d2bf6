"""`plan`, `doctor` and `--dry-run` as somebody types them."""

from __future__ import annotations

from typing import Any

import pytest
from support.shell import Shell

NEW = ("job", "t", "--set", "n = n + 1", "--where", "n = 0")


@pytest.fixture
async def shell(database: Any) -> Shell:
    connection = await database.connect()
    await connection.execute(
        "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);"
        "INSERT INTO t SELECT generate_series(1, 2000); ANALYZE t"
    )
    return Shell(database.dsn)


async def contents(database: Any) -> list[str]:
    """Every row of pgbackfill's tables."""
    connection = await database.connect()
    tables = await connection.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class"
        " WHERE relnamespace = 'pgbackfill'::regnamespace AND relkind = 'r'"
    )
    return sorted(
        [f"{table['name']} {row}" for table in tables for row in await connection.fetch(f"TABLE {table['name']}")]
    )


async def test_a_plan_before_and_after_the_job_exists(shell: Shell, database: Any) -> None:
    before = await contents(database)
    first = shell.json("plan", *NEW, "--sample", "--option", "chunk_target_ms=50")
    assert await contents(database) == before
    assert first["job"]["status"] is None
    assert first["job"]["options"] == {"chunk_target_ms": 50}
    assert first["projection"]["rows_changed"] == 2000
    assert "There is no job 'job'" in shell("plan", "job", code=2)
    shell("enqueue", *NEW)
    assert "job (queued)" in shell("plan", "job")
    assert "### Hazards" in shell("plan", "job", "--markdown")
    assert "exists already" in shell("plan", *NEW, code=2)


async def test_dry_runs_say_what_would_happen_and_leave_nothing(shell: Shell, database: Any) -> None:
    connection = await database.connect()
    heard: list[Any] = []
    await connection.add_listener("pgbackfill", lambda *about: heard.append(about))
    empty = await contents(database)
    assert shell.json("enqueue", *NEW, "--dry-run") == {"name": "job", "id": None, "enqueued": True, "dry_run": True}
    assert "set_clause" in shell("enqueue", "job", "t", "--set", "nothing = 1", "--dry-run", code=2)
    assert await contents(database) == empty
    await connection.execute("INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('job', 't', 'n = 1')")
    before, heard_before = await contents(database), len(heard)
    said = shell("pause", "job", "--dry-run")
    assert said == "Dry run, nothing was changed. It would say: job is paused until it is resumed.\n"
    assert shell.json("cancel", "job", "--dry-run")["status"] == "cancelled"
    assert "only a failed or cancelled job" in shell("retry", "job", "--dry-run", code=2)
    throttled = shell.json("throttle", "job", "--ratio", "0.5", "--for", "1h", "--dry-run")
    assert (throttled["throttle_ratio"], throttled["dry_run"]) == (0.5, True)
    assert shell.json("quarantine", "retry", "job", "--dry-run") == {"name": "job", "rows": 0, "dry_run": True}
    assert shell("run", "--drain", "--dry-run") == "job is queued: it would be worked on.\n"
    assert await contents(database) == before
    await connection.fetch("SELECT 1")
    assert len(heard) == heard_before


async def test_a_dry_migration_prints_what_is_missing(shell: Shell, database: Any) -> None:
    connection = await database.connect()
    await connection.execute("DROP SCHEMA pgbackfill CASCADE")
    printed = shell("migrate", "--dry-run")
    assert "-- Step 1\n" in printed
    assert "CREATE TABLE pgbackfill.jobs" in printed
    assert await connection.fetchval("SELECT to_regnamespace('pgbackfill') IS NULL")


async def test_the_doctor_exits_1_where_something_is_wrong(shell: Shell, database: Any) -> None:
    connection = await database.connect()
    assert shell.json("doctor")["healthy"] is True
    with pytest.raises(Exception, match="could not create unique index"):
        await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY once ON t (n)")
    told = shell.output("doctor", code=1)
    assert "do: REINDEX INDEX CONCURRENTLY public.once" in told
