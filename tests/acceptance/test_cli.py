"""The commands against a real database, as somebody types them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.shell import Shell


@pytest.fixture
async def shell(database: Any) -> Shell:
    connection = await database.connect()
    await connection.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text, email_lower text)")
    return Shell(database.dsn)


ENQUEUE = ("enqueue", "users-email", "public.users", "--set", "email_lower = lower(email)")


async def test_a_job_from_enqueue_to_cancel(shell: Shell) -> None:
    assert shell.json("status") == []
    more = ("--where", "email_lower IS NULL", "--option", "chunk_max_rows=500", "--priority", "3")
    assert "Enqueued users-email" in shell(*ENQUEUE, *more)
    assert shell.json(*ENQUEUE) == {"name": "users-email", "id": None, "enqueued": False}
    (listed,) = shell.json("status")
    assert (listed["name"], listed["status"], listed["desired_state"]) == ("users-email", "queued", "run")
    assert shell.json("pause", "users-email")["desired_state"] == "pause"
    assert shell("resume", "users-email") == "users-email is queued; a daemon goes on with it as soon as it is free.\n"
    one = shell.json("status", "users-email")
    assert (one["table_name"], one["options"], one["priority"]) == ("public.users", {"chunk_max_rows": 500}, 3)
    assert (one["ranges"], one["quarantine"]) == ([], [])
    assert "enqueued" in [event["event"] for event in one["events"]]
    assert shell.json("cancel", "users-email")["status"] == "cancelled"
    assert shell.json("retry", "users-email")["status"] == "queued"


async def test_every_column_can_be_enqueued(shell: Shell, database: Any) -> None:
    shell(
        "enqueue", "one-tenant", "users", "--operation", "update", "--set", "email_lower = x.v",
        "--from", "(VALUES ('a')) AS x (v)", "--where", "t.email_lower IS NULL", "--key", "id",
        "--from-key", "10", "--to-key", "20", "--session-setting", "app.tenant=007",
        "--option", "lag_soft_s=0.5", "--option", "synchronous_commit=off", "--priority", "-1",
        "--run-after", "2099-01-01T00:00:00Z", "--paused",
    )  # fmt: skip
    connection = await database.connect()
    row = await connection.fetchrow("SELECT * FROM pgbackfill.jobs WHERE name = 'one-tenant'")
    assert row is not None
    assert row["from_clause"] == "(VALUES ('a')) AS x (v)"
    assert (row["key_columns"], row["from_key"], row["to_key"]) == (["id"], ["10"], ["20"])
    assert json.loads(row["session_settings"]) == {"app.tenant": "007"}
    assert json.loads(row["options"]) == {"lag_soft_s": 0.5, "synchronous_commit": "off"}
    assert (row["priority"], row["run_after"].year, row["desired_state"]) == (-1, 2099, "pause")


async def test_the_operation_follows_from_what_is_given(shell: Shell, database: Any) -> None:
    shell("enqueue", "s", "users", "--statement", "DELETE FROM users USING chunk WHERE users.id = chunk.id")
    shell("enqueue", "d", "users", "--operation", "delete", "--where", "email IS NULL")
    connection = await database.connect()
    rows = await connection.fetch("SELECT operation FROM pgbackfill.jobs ORDER BY name")
    assert [row["operation"] for row in rows] == ["delete", "statement"]


async def test_what_is_refused_exits_2_with_the_column(shell: Shell) -> None:
    assert "set_clause" in shell("enqueue", "j", "users", "--set", "nothing_here = 1", code=2)
    assert "table_name" in shell("enqueue", "j", "nothing_here", "--set", "a = 1", code=2)
    assert "options" in shell(*ENQUEUE, "--option", "speed=9", code=2)
    assert (
        shell("pause", "nothing", code=2) == "pgbackfill: There is no job 'nothing'; `pgbackfill status` lists them.\n"
    )
    shell("status", "nothing", code=2)
    shell(*ENQUEUE)
    assert "only a failed or cancelled job" in shell("retry", "users-email", code=2)


async def test_migrating_again_changes_nothing(shell: Shell) -> None:
    done = shell.json("migrate")
    assert done["applied"] == []
    assert f"(step {done['version']})" in shell("migrate")


async def test_without_the_schema_every_command_says_what_to_do(postgres: Any) -> None:
    shell = Shell(postgres.dsn("postgres"))
    for arguments in (("status",), ("pause", "j"), ENQUEUE, ("run", "--drain", "--no-http")):
        assert "run `pgbackfill migrate`" in shell(*arguments, code=3)


async def test_plain_output_is_columns_between_tabs(shell: Shell) -> None:
    shell(*ENQUEUE, "--paused")
    header, row = (line.split("\t") for line in shell("status").splitlines())
    assert dict(zip(header, row, strict=True)) | {"left": "", "why": ""} == {
        "job": "users-email",
        "status": "paused",
        "percent": "0.00",
        "scanned": "0",
        "changed": "0",
        "rows/s": "",
        "left": "",
        "why": "",
    }
    page = shell("status", "users-email")
    assert "table_name\tpublic.users" in page.splitlines()


async def test_a_viewer_sees_progress_and_is_told_what_he_may_not(shell: Shell, database: Any) -> None:
    shell(*ENQUEUE)
    viewer = Shell(await database.login("pgbackfill_viewer"))
    assert viewer.json("status")[0]["name"] == "users-email"
    assert viewer.json("status", "users-email")["ranges"] is None
    refused = viewer("pause", "users-email", code=3)
    assert "permission denied" in refused
    assert "GRANT pgbackfill_enqueuer" in refused
