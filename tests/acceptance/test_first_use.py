"""The way of a new user, and what the command line answers when something is not as it should be."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest


@pytest.fixture
async def empty_dsn(site: Any) -> AsyncIterator[str]:
    """A database without the schema."""
    name = f"empty_{secrets.token_hex(6)}"
    await site.database.postgres.execute(f"CREATE DATABASE {name}")
    yield site.database.postgres.dsn(name)
    await site.database.postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def one_sentence(text: str) -> str:
    """What the command said, checked for its form."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("pgbackfill: "), text
    assert lines[0].endswith("."), text
    return lines[0]


async def test_migrate_insert_and_drain(site: Any, empty_dsn: str) -> None:
    assert (await site.cli("migrate", dsn=empty_dsn)).returncode == 0
    connection = await site.database.connect(empty_dsn)
    await connection.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY, email text, email_lower text);"
        "INSERT INTO users SELECT i, 'Name' || i || '@Example.org' FROM generate_series(1, 5000) AS i;"
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, where_clause)"
        " VALUES ('users-email-lower', 'public.users', 'email_lower = lower(email)', 'email_lower IS NULL')"
    )
    assert await site.daemon("--drain", dsn=empty_dsn).ended() == 0
    row = await connection.fetchrow("SELECT * FROM pgbackfill.progress")
    assert (row["status"], row["percent"], row["rows_scanned"], row["rows_changed"]) == ("succeeded", 100, 5000, 5000)
    assert await connection.fetchval("SELECT bool_and(email_lower = lower(email)) FROM users")
    status = await site.cli("status", "--json", dsn=empty_dsn)
    assert [job["status"] for job in json.loads(status.stdout)] == ["succeeded"]
    assert await connection.fetchval("SELECT count(*) FROM pgbackfill.workers") == 0


async def test_migrate_may_run_again_and_twice_at_once(site: Any, empty_dsn: str) -> None:
    both = await asyncio.gather(site.cli("migrate", dsn=empty_dsn), site.cli("migrate", dsn=empty_dsn))
    assert [done.returncode for done in both] == [0, 0], both
    again = await site.cli("migrate", "--json", dsn=empty_dsn)
    assert again.returncode == 0
    assert json.loads(again.stdout)["applied"] == []


async def test_an_enqueued_name_may_come_twice(site: Any) -> None:
    await site.table("users", 100)
    for _ in range(2):
        await site.connection.execute(
            "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('once', 'users', 'n = n + 1')"
            " ON CONFLICT (name) DO NOTHING"
        )
    for enqueued in (True, False):
        done = await site.cli("enqueue", "by-hand", "users", "--set", "note = 'seen'", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["enqueued"] is enqueued
    assert await site.daemon("--drain").ended() == 0
    await site.changed_once("users")
    assert await site.connection.fetchval("SELECT bool_and(note = 'seen') FROM users")


async def test_a_missing_schema_is_a_sentence(site: Any, empty_dsn: str) -> None:
    for command in (("run",), ("status",), ("pause", "x")):
        done = await site.cli(*command, dsn=empty_dsn)
        assert done.returncode == 3, done
        assert "`pgbackfill migrate`" in one_sentence(done.stderr)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ("DELETE FROM pgbackfill.schema_version WHERE version = (SELECT max(version) FROM pgbackfill.schema_version)",
         "run `pgbackfill migrate`."),
        ("INSERT INTO pgbackfill.schema_version (version) VALUES (999)", "upgrade pgbackfill."),
    ],
    ids=["too old", "too new"],
)  # fmt: skip
async def test_another_schema_is_a_sentence(site: Any, change: str, advice: str) -> None:
    await site.connection.execute(change)
    done = await site.cli("run", "--drain")
    assert done.returncode == 3, done
    assert one_sentence(done.stderr).endswith(advice)


async def test_an_unreachable_database_is_a_sentence(site: Any) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        dsn = f"postgresql://someone:hidden-word@127.0.0.1:{taken.getsockname()[1]}/shop"
        for command in (("run", "--drain"), ("status",), ("migrate",)):
            done = await site.cli(*command, dsn=dsn)
            assert done.returncode == 3, done
            assert "hidden-word" not in one_sentence(done.stderr)


async def test_a_bad_setting_is_a_sentence(site: Any) -> None:
    for settings, named in (
        ({"chunk_max_rows": "many"}, "PGBACKFILL_CHUNK_MAX_ROWS"),
        ({"lease_s": 1}, "PGBACKFILL_LEASE_S"),
        ({"chunk_max_row": 5}, "PGBACKFILL_CHUNK_MAX_ROW"),
    ):
        done = await site.cli("run", "--drain", **settings)
        assert done.returncode == 2, done
        assert named in one_sentence(done.stderr)
    assert (await site.cli("run", "--drane")).returncode == 2
    done = await site.cli("run", "--max-concurrent-jobs", "0")
    assert done.returncode == 2
    assert "--max-concurrent-jobs" in one_sentence(done.stderr)


async def test_a_port_in_use_is_a_sentence_and_no_job_is_touched(site: Any) -> None:
    await site.table("users", 10)
    await site.enqueue("waiting", "users")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = await site.cli("run", "--drain", http__port=port)
    assert done.returncode == 2, done
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("pgbackfill: ")
    assert f":{port} is in use" in last
    assert (await site.progress("waiting"))["status"] == "queued"
    assert await site.connection.fetchval("SELECT count(*) FROM pgbackfill.workers") == 0


async def test_drain_names_what_it_leaves(site: Any) -> None:
    for table in ("a", "b", "c"):
        await site.table(table, 10)
    await site.enqueue("due", "a")
    await site.enqueue("on-ice", "b", desired_state="pause")
    await site.enqueue("tomorrow", "c", run_after=datetime.now(UTC) + timedelta(days=1))
    daemon = site.daemon("--drain")
    assert await daemon.ended() == 0
    assert {entry["job"] for entry in daemon.events("job left")} == {"on-ice", "tomorrow"}
    states = {name: (await site.progress(name))["status"] for name in ("due", "on-ice", "tomorrow")}
    assert states == {"due": "succeeded", "on-ice": "paused", "tomorrow": "queued"}


async def test_a_failed_job_is_exit_code_1_and_disturbs_no_other(site: Any) -> None:
    await site.table("users", 1000)
    await site.table("orders", 1000)
    await site.table("gone", 10)
    await site.connection.execute("CREATE TABLE rates (id bigint PRIMARY KEY, rate int)")
    await site.enqueue("good", "users")
    await site.enqueue("bad", "orders", set_clause="n = (SELECT rate FROM rates WHERE rates.id = t.id)")
    await site.enqueue("vanished", "gone")
    await site.connection.execute("DROP TABLE rates; DROP TABLE gone")
    daemon = site.daemon("--drain")
    assert await daemon.ended() == 1
    await site.changed_once("users")
    assert (await site.progress("good"))["status"] == "succeeded"
    errors = {name: await site.connection.fetchval("SELECT error FROM pgbackfill.jobs WHERE name = $1", name)
              for name in ("bad", "vanished")}  # fmt: skip
    assert '"rates" does not exist' in errors["bad"]
    assert "UPDATE" in errors["bad"], "the statement is part of the message"
    assert "dropped" in errors["vanished"]
    assert {entry["job"] for entry in daemon.events("a job of this process failed")} == {"bad", "vanished"}
    # What another process broke is not this one's.
    assert await site.daemon("--drain").ended() == 0


async def test_unknown_jobs_and_useless_commands_are_sentences(site: Any) -> None:
    await site.table("users", 10)
    await site.enqueue("short", "users")
    assert await site.daemon("--drain").ended() == 0
    for command in (("pause", "nobody"), ("status", "nobody"), ("retry", "short"), ("pause", "short")):
        done = await site.cli(*command)
        assert done.returncode == 2, done
        one_sentence(done.stderr)
