"""Webhooks: what is told, once, however many daemons there are and however long nobody listens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog
from support.receiver import SECRET_PATH, Receiver, receiving

from pgbackfill.control.governor import Governor
from pgbackfill.database.connect import connect
from pgbackfill.database.link import Link
from pgbackfill.metrics import Metrics
from pgbackfill.redact import redact
from pgbackfill.settings import Settings
from pgbackfill.worker.context import Context
from pgbackfill.worker.webhook import Webhook


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@asynccontextmanager
async def tellers(dsn: str, url: str | None, count: int = 1, **webhook: Any) -> AsyncIterator[list[Webhook]]:
    """The task of so many daemons, which look when the test says so."""
    settings = Settings(dsn=dsn, webhook={"url": url, **webhook})
    async with AsyncExitStack() as links:
        made = []
        for _ in range(count):
            link = Link(lambda: connect(dsn, settings=settings, purpose="notifications", require_primary=True))
            links.push_async_callback(link.close)
            context = Context(settings, Governor(settings.pacing), Metrics(), link, link.connect)
            made.append(Webhook(context, link))
        yield made


async def due(shop: Any) -> None:
    """As if the pause before the next attempt were over."""
    await shop.connection.execute("UPDATE pgbackfill.notifications SET try_at = clock_timestamp()")


async def began(shop: Any, name: str = "job") -> None:
    await shop.insert(name=name, set_clause="n = 1")
    await shop.connection.execute(
        "UPDATE pgbackfill.jobs SET status = 'running', started_at = clock_timestamp() WHERE name = $1", name
    )


async def test_the_four_things_are_told_once_by_several_daemons(shop: Any, receiver: Receiver) -> None:
    for name in ("broken", "done", "stopped", "waiting"):
        await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'cancelled' WHERE status = 'running'")
        await began(shop, name)
        await shop.connection.execute(
            {
                "broken": "UPDATE pgbackfill.jobs SET status = 'failed', error = 'division by <zero>'"
                " WHERE name = 'broken'",
                "done": "UPDATE pgbackfill.jobs SET status = 'succeeded', finished_at = started_at + interval '125 s'"
                " WHERE name = 'done'",
                "stopped": "INSERT INTO pgbackfill.events (job_id, event, detail) SELECT id, 'circuit_breaker',"
                """ '{"reason": "circuit_breaker 25 rows"}' FROM pgbackfill.jobs WHERE name = 'stopped'""",
                "waiting": "UPDATE pgbackfill.jobs SET wait_reason = 'old_transaction pid 7',"
                " wait_since = clock_timestamp() - interval '6 min 5 s' WHERE name = 'waiting'",
            }[name]
        )
    async with tellers(shop.database.dsn, receiver.url, 4) as daemons:
        for _ in range(3):
            async with anyio.create_task_group() as group:
                for daemon in daemons:
                    group.start_soon(daemon.look)
    told = {each["job"]: each for each in receiver.told}
    assert sorted(each["event"] for each in receiver.told) == ["failed", "finished", "held", "paused"]
    name = await shop.connection.fetchval("SELECT current_database()")
    texts = {job: each["text"].removeprefix(f"pgbackfill ({name}): ") for job, each in told.items()}
    assert texts["broken"] == "broken failed at 0.00 %: division by &lt;zero&gt;"
    assert told["broken"]["reason"] == "division by <zero>"
    assert texts["done"] == "done is finished: 0 rows scanned, 0 changed, in 2 min 05 s."
    assert texts["stopped"].startswith("stopped paused itself at 0.00 %: circuit_breaker 25 rows.")
    assert texts["waiting"] == "waiting has been held for 6 min 05 s at 0.00 %: old_transaction pid 7"
    assert told["waiting"]["status"] == "running"


async def test_a_hold_is_told_after_its_time_and_once(shop: Any, receiver: Receiver) -> None:
    await began(shop)
    hold = "UPDATE pgbackfill.jobs SET wait_reason = $1, wait_since = clock_timestamp() - make_interval(secs => $2)"
    async with tellers(shop.database.dsn, receiver.url, held_s=60) as (daemon,):
        for reason, seconds, told in (
            ("replica_lag 6.2s > 5s (replica-b)", 50, 0),
            ("paused by signal", 70, 0),
            ("replica_lag 6.2s > 5s (replica-b)", 70, 1),
            ("replica_lag 9.9s > 5s (replica-b)", None, 1),
            ("replica_lag 6.2s > 5s (replica-b)", 61, 2),
        ):
            if seconds is None:
                await shop.connection.execute("UPDATE pgbackfill.jobs SET wait_reason = $1", reason)
            else:
                await shop.connection.execute(hold, reason, seconds)
            await daemon.look()
            assert len(receiver.told) == told, reason


async def test_who_does_not_listen_is_told_again_later_and_given_up_at_last(shop: Any, receiver: Receiver) -> None:
    await began(shop)
    await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'failed'")
    receiver.status = 500
    async with tellers(shop.database.dsn, receiver.url, 2) as (one, other):
        await one.look()
        await other.look()
        assert await shop.connection.fetchval("SELECT attempts FROM pgbackfill.notifications") == 1
        waits = []
        for _ in range(9):
            await due(shop)
            await one.look()
            wait = "SELECT extract(epoch FROM try_at - clock_timestamp())::float FROM pgbackfill.notifications"
            waits.append(round(await shop.connection.fetchval(wait)))
        assert waits == sorted(waits)
        assert 5 < waits[0] < 25
        assert 500 < waits[-1] < 620
        receiver.status = 200
        await due(shop)
        await other.look()
        assert receiver.told == []  # ten times is enough
        event = "SELECT detail FROM pgbackfill.events WHERE event = 'notification_given_up'"
        assert json.loads(await shop.connection.fetchval(event)) == {
            "kind": "failed",
            "reason": "the webhook answered 500",
        }
        assert b'pgbackfill_notifications_total{outcome="retry"} 9.0' in one._context.metrics.render()[0]
        assert b'pgbackfill_notifications_total{outcome="given_up"} 1.0' in one._context.metrics.render()[0]
        await shop.connection.execute("UPDATE pgbackfill.notifications SET attempts = 9")
        await other.look()
        assert len(receiver.told) == 1
        assert b'pgbackfill_notifications_total{outcome="sent"} 1.0' in other._context.metrics.render()[0]


async def test_what_a_dead_daemon_had_claimed_is_told_by_another(shop: Any, receiver: Receiver) -> None:
    await began(shop)
    await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'succeeded'")
    async with tellers(shop.database.dsn, "http://127.0.0.1:9/nobody-listens-here") as (dead,):
        await dead.look()
    async with tellers(shop.database.dsn, receiver.url) as (alive,):
        await alive.look()
        assert receiver.told == []  # not while the other one may still be at it
        await due(shop)
        await alive.look()
    assert [each["event"] for each in receiver.told] == ["finished"]


async def test_only_what_was_asked_for_and_nothing_old_is_told(shop: Any, receiver: Receiver) -> None:
    for name in ("old", "new"):
        await began(shop, name)
        await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'failed' WHERE name = $1", name)
        if name == "old":
            await shop.connection.execute("UPDATE pgbackfill.events SET at = at - interval '2 hours'")
    async with tellers(shop.database.dsn, receiver.url, on=["held", "finished"]) as (daemon,):
        await daemon.look()
        assert receiver.told == []
    async with tellers(shop.database.dsn, receiver.url) as (daemon,):
        await daemon.look()
    assert [each["job"] for each in receiver.told] == ["new"]


async def test_without_an_address_nothing_is_looked_at(shop: Any) -> None:
    await began(shop)
    await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'failed'")
    async with tellers(shop.database.dsn, None) as (daemon,):
        await daemon.look()
    assert await shop.connection.fetchval("SELECT count(*) FROM pgbackfill.notifications") == 0


async def test_the_address_is_shown_nowhere(shop: Any, receiver: Receiver, tmp_path: Path) -> None:
    await began(shop)
    await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'failed'")
    file = tmp_path / "url"
    with structlog.testing.capture_logs() as logged:
        for url in (f"http://127.0.0.1:9{SECRET_PATH}", receiver.url):
            file.write_text(url + "\n")
            async with tellers(shop.database.dsn, None, url_file=file) as (daemon,):
                await due(shop)
                await daemon.look()
    assert len(receiver.told) == 1
    assert [entry["event"] for entry in logged] == ["notification not sent", "notification sent"]
    assert "verysecretword" not in json.dumps(logged)
    assert "verysecretword" not in redact(f"could not reach {SECRET_PATH}")


@pytest.mark.newest
async def test_a_login_of_the_daemons_role_is_enough(shop: Any, receiver: Receiver) -> None:
    await began(shop)
    await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'failed'")
    async with tellers(await shop.database.login("pgbackfill_daemon"), receiver.url) as (daemon,):
        await daemon.look()
    assert len(receiver.told) == 1
