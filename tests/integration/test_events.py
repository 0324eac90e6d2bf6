"""The history of a job and the NOTIFY that goes with it."""

from __future__ import annotations

import json
from typing import Any

import anyio


async def _events(shop: Any) -> list[tuple[str, dict[str, Any]]]:
    rows = await shop.connection.fetch("SELECT event, detail FROM pgbackfill.events ORDER BY id")
    return [(row["event"], json.loads(row["detail"])) for row in rows]


async def test_every_change_of_a_job_is_noted_with_its_author(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    for change in (
        "desired_state = 'pause'",
        """options = '{"duty_max": 0.5}'""",
        "priority = 7",
        "desired_state = 'run'",
        "status = 'running'",
        "wait_reason = 'not worth a line'",
        "status = 'failed', error = 'division by zero'",
    ):
        await shop.connection.execute(f"UPDATE pgbackfill.jobs SET {change}")
    assert await _events(shop) == [
        ("enqueued", {"status": "queued", "desired_state": "run"}),
        ("desired_state", {"from": "run", "to": "pause"}),
        ("status", {"from": "queued", "to": "paused"}),
        ("options", {"from": {}, "to": {"duty_max": 0.5}}),
        ("priority", {"from": 0, "to": 7}),
        ("desired_state", {"from": "pause", "to": "run"}),
        ("status", {"from": "paused", "to": "queued"}),
        ("status", {"from": "queued", "to": "running"}),
        ("status", {"from": "running", "to": "failed", "error": "division by zero"}),
    ]
    assert await shop.connection.fetchval("SELECT count(*) FROM pgbackfill.events WHERE actor <> session_user") == 0


async def test_the_author_is_the_login_whatever_its_role(shop: Any) -> None:
    alice = await shop.database.connect(await shop.database.login("pgbackfill_enqueuer", "pgbackfill_viewer"))
    name = await alice.fetchval("SELECT session_user")
    await shop.connection.execute(f"GRANT ALL ON users TO {name}, pgbackfill_enqueuer")
    await alice.execute("SET ROLE pgbackfill_enqueuer")
    job = await shop.insert(alice, set_clause="n = 1")
    assert job["enqueued_by"] == name
    assert await shop.connection.fetchval("SELECT actor FROM pgbackfill.events") == name
    # The group outlives the test's database only if nothing there was granted to it.
    await shop.connection.execute("REVOKE ALL ON users FROM pgbackfill_enqueuer")


async def test_every_change_is_announced(shop: Any) -> None:
    send, receive = anyio.create_memory_object_stream[dict[str, Any]](100)
    listener = await shop.database.connect()
    await listener.add_listener("pgbackfill", lambda *args: send.send_nowait(json.loads(args[3])))
    job = await shop.insert(set_clause="n = 1")
    await shop.connection.execute("SELECT pgbackfill.pause('job')")
    await shop.connection.execute("""UPDATE pgbackfill.jobs SET options = '{"duty_max": 0.5}'""")
    expected = [
        ("queued", "run", "enqueued"),
        ("paused", "pause", "desired_state"),
        ("paused", "pause", "status"),
        ("paused", "pause", "options"),
    ]
    with anyio.fail_after(10):
        heard = [await receive.receive() for _ in expected]
    assert heard == [
        {"job": job["id"], "name": "job", "status": status, "desired_state": wanted, "event": event}
        for status, wanted, event in expected
    ]
    send.close()
    receive.close()
