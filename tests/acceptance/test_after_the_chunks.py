"""What follows the last chunk survives whatever dies in between; and the commands for it."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

INDEX = {"create_index": {"name": "users_n", "columns": "n"}}


COLUMN = "SELECT {} FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = '{}'"
VALID = "SELECT convalidated FROM pg_constraint WHERE conrelid = 'users'::regclass AND conname = '{}'"
DONE = {
    "set_not_null": COLUMN.format("attnotnull", "note"),
    "add_check": VALID.format("users_note"),
    "validate_constraint": VALID.format("users_old"),
    "create_index": "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_n'::regclass",
    "vacuum": "SELECT true",
    "sql": COLUMN.format("true", "more"),
}


async def leases_run_out(site: Any) -> None:
    """What time would do: nobody alive holds any of them."""
    await site.connection.execute("UPDATE pgbackfill.steps SET lease_until = clock_timestamp() WHERE status = 'open'")


async def test_a_verification_goes_on_where_a_killed_daemon_stood(site: Any) -> None:
    await site.table("users", 20_000)
    await site.enqueue(
        "job", "users", set_clause="note = 'x' || id",
        options={"verify": "check", "chunk_max_rows": 500, "max_rows_per_s": 15_000},
    )  # fmt: skip
    daemon = await site.running()
    await site.true("SELECT (state->>'rows')::int > 0 FROM pgbackfill.steps WHERE status = 'open'")
    daemon.send(signal.SIGKILL)
    await daemon.ended()
    left = json.loads(await site.connection.fetchval("SELECT state FROM pgbackfill.steps"))
    assert 0 < left["rows"] < 20_000, "the kill came too late to prove anything"
    await leases_run_out(site)
    second = site.daemon("--drain")
    assert await second.ended() == 0
    assert (await second.logged("step begun"))["epoch"] == 2
    assert (await second.logged("verified"))["rows"] == 20_000
    sampled = await site.cli("verify", "job", "--sample", "50%", "--json")
    facts = json.loads(sampled.stdout)
    assert (facts["mismatches"], facts["sample_percent"], facts["rows"] < 20_000) == (0, 50, True)
    # Old rows that are wrong are the job's; this one was written since.
    await site.connection.execute("UPDATE users SET note = '' WHERE id = 3")
    done = await site.cli("verify", "job")
    assert (done.returncode, done.stdout) == (
        0,
        "job: 0 mismatches in 20,000 rows on primary; 1 more were born or written since the job began.\n",
    )


@pytest.mark.parametrize(
    ("step", "lock"),
    [
        ({"set_not_null": "note"}, "ACCESS SHARE"),
        ({"add_check": {"name": "users_note", "check": "note <> ''"}}, "ACCESS SHARE"),
        ({"validate_constraint": "users_old"}, "SHARE UPDATE EXCLUSIVE"),
        (INDEX, "ROW EXCLUSIVE"),
        ("vacuum", "SHARE UPDATE EXCLUSIVE"),
        ({"sql": "ALTER TABLE users ADD COLUMN more int"}, "ACCESS SHARE"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_a_daemon_killed_inside_a_step_is_followed_by_another(site: Any, step: Any, lock: str) -> None:
    await site.table("users", 1000)
    await site.connection.execute("ALTER TABLE users ADD CONSTRAINT users_old CHECK (n >= 0) NOT VALID")
    await site.enqueue("job", "users", set_clause="note = 'x'", finalize=json.dumps([step, "analyze"]))
    other = await site.database.connect()
    async with other.transaction():
        await other.execute(f"LOCK TABLE users IN {lock} MODE")
        daemon = await site.running()
        await site.true(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pgbackfill/work'"
            " AND wait_event_type = 'Lock' AND query ~* 'users')"
        )
        daemon.send(signal.SIGKILL)
        await daemon.ended()
        await leases_run_out(site)
        second = await site.running("--drain")
        await second.logged("step begun", job="job")
    assert await second.ended() == 0
    kind = next(iter(step)) if isinstance(step, dict) else step
    assert [entry["step"] for entry in second.events("finalized")] == [kind, "analyze"]
    assert await site.connection.fetchval(DONE[kind])
    left = "SELECT count(*) FROM pg_constraint WHERE conname LIKE 'pgbackfill%' AND conrelid = 'users'::regclass"
    assert await site.connection.fetchval(left) == 0


async def test_undo_by_command(site: Any) -> None:
    await site.table("users", 1000)
    done = await site.cli("enqueue", "job", "users", "--set", "n = n + 1", "--keep-old", "--finalize", '["analyze"]')
    assert done.returncode == 0, done.stderr
    assert await site.daemon("--drain").ended() == 0
    done = await site.cli("undo", "job")
    assert done.stdout == "Enqueued job.undo; `pgbackfill status job.undo` shows it.\n"
    assert await site.daemon("--drain").ended() == 0
    assert await site.connection.fetchval("SELECT sum(n) FROM users") == 0
    page = await site.cli("status", "job")
    assert "analyze\tdone\t100" in page.stdout
