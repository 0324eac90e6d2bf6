"""Throttles and pauses with an end: who may, what is refused, what is noted, what is shown."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from pgbackfill.database import jobs


async def _events(shop: Any, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    rows = await shop.connection.fetch(
        "SELECT event, detail FROM pgbackfill.events WHERE event = ANY($1) ORDER BY id", list(kinds)
    )
    return [(row["event"], json.loads(row["detail"])) for row in rows]


async def _shown(shop: Any, name: str = "job") -> Any:
    return await shop.connection.fetchrow("SELECT * FROM pgbackfill.progress WHERE name = $1", name)


async def test_the_lowest_of_the_throttles_in_force_counts(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    call = shop.connection.fetchval
    until = await call("SELECT pgbackfill.throttle('job', 0.5, '30 min')")
    assert ((await _shown(shop))["throttle_ratio"], (await _shown(shop))["throttle_until"]) == (0.5, until)
    await call("SELECT pgbackfill.throttle(NULL, 0.25, '1 hour')")
    assert (await _shown(shop))["throttle_ratio"] == 0.25
    await call("SELECT pgbackfill.throttle('job', 0.1, '1 hour')")
    assert (await _shown(shop))["throttle_ratio"] == 0.1
    assert await call("SELECT pgbackfill.unthrottle('job')") == 1
    assert (await _shown(shop))["throttle_ratio"] == 0.25
    await shop.insert(name="later", set_clause="n = 2")
    assert (await _shown(shop, "later"))["throttle_ratio"] == 0.25
    assert await call("SELECT pgbackfill.unthrottle()") == 1
    assert (await _shown(shop))["throttle_ratio"] is None
    ratios = [detail["ratio"] for _, detail in await _events(shop, "throttled", "throttle_ended")]
    assert ratios == [0.5, 0.25, 0.1, 0.1, 0.25, 0.25]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("throttle('job', 0, '1 h')", "ratio: must be above 0; use pause"),
        ("throttle('job', 1, '1 h')", "ratio: must be above 0 and below 1"),
        ("throttle('job', -1, '1 h')", "ratio: must be above 0 and below 1"),
        ("throttle('job', 'NaN', '1 h')", "not NaN"),
        ("throttle('job', NULL, '1 h')", "not null"),
        ("throttle('job', 0.5, '0 s')", "duration: must be above 0"),
        ("throttle('job', 0.5, '-1 h')", "duration: must be above 0"),
        ("throttle('job', 0.5, NULL)", "duration: is missing"),
        ("throttle('no-such', 0.5, '1 h')", "there is no job named"),
        ("unthrottle('no-such')", "there is no job named"),
        ("pause('job', '0 s')", "duration: must be above 0"),
    ],
)
async def test_what_makes_no_sense_is_refused(shop: Any, call: str, says: str) -> None:
    await shop.insert(set_clause="n = 1")
    with pytest.raises(asyncpg.PostgresError, match=says):
        await shop.connection.fetchval(f"SELECT pgbackfill.{call}")
    assert await shop.connection.fetchval("SELECT count(*) FROM pgbackfill.throttles") == 0


async def test_a_finished_job_cannot_be_throttled_and_is_not_noted(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    await shop.connection.fetchval("SELECT pgbackfill.cancel('job')")
    with pytest.raises(asyncpg.PostgresError, match='job "job" is cancelled; only'):
        await shop.connection.fetchval("SELECT pgbackfill.throttle('job', 0.5, '1 h')")
    await shop.connection.fetchval("SELECT pgbackfill.throttle(NULL, 0.5, '1 h')")
    assert await _events(shop, "throttled") == []
    assert (await _shown(shop))["throttle_ratio"] is None


async def test_what_is_over_ends_by_itself(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    await shop.connection.fetchval("SELECT pgbackfill.throttle('job', 0.5, '1 h')")
    assert await shop.connection.fetchval("SELECT pgbackfill.pause('job', '1 h')") == "paused"
    assert await jobs.expire(shop.connection) == []
    await shop.connection.execute("UPDATE pgbackfill.throttles SET ends_at = clock_timestamp()")
    await shop.connection.execute("UPDATE pgbackfill.jobs SET pause_until = clock_timestamp()")
    assert (await _shown(shop))["throttle_ratio"] is None
    assert await jobs.expire(shop.connection) == ["job"]
    row = await _shown(shop)
    assert (row["status"], row["desired_state"], row["pause_until"]) == ("queued", "run", None)
    assert await shop.connection.fetchval("SELECT count(*) FROM pgbackfill.throttles") == 0
    ended = [detail.get("reason") for _, detail in await _events(shop, "throttle_ended", "desired_state")][1:]
    assert sorted(ended) == ["the time of the pause was over", "the time of the throttle was over"]


async def test_a_pause_keeps_only_its_own_end(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    await shop.connection.fetchval("SELECT pgbackfill.pause('job', '1 h')")
    await shop.connection.fetchval("SELECT pgbackfill.pause('job')")
    assert (await _shown(shop))["pause_until"] is None
    await shop.connection.fetchval("SELECT pgbackfill.pause('job', '1 h')")
    await shop.connection.execute("UPDATE pgbackfill.jobs SET desired_state = 'run'")
    await shop.connection.execute("UPDATE pgbackfill.jobs SET desired_state = 'pause'")
    assert (await _shown(shop))["pause_until"] is None


async def test_nobody_waits_for_a_transaction_that_is_changing_a_throttle(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    await shop.connection.fetchval("SELECT pgbackfill.throttle('job', 0.5, '1 h')")
    await shop.connection.execute("UPDATE pgbackfill.throttles SET ends_at = clock_timestamp()")
    other = await shop.database.connect()
    async with other.transaction():
        await other.execute("UPDATE pgbackfill.throttles SET ratio = 0.4")
        assert await jobs.expire(shop.connection) == []
        assert await shop.connection.fetchval("SELECT count(*) FROM pgbackfill.throttles") == 1


async def test_an_enqueuer_may_throttle_and_a_viewer_may_not(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    alice = await shop.database.connect(await shop.database.login("pgbackfill_enqueuer"))
    await alice.fetchval("SELECT pgbackfill.throttle('job', 0.5, '1 h')")
    await alice.fetchval("SELECT pgbackfill.pause('job', '1 h')")
    assert await alice.fetchval("SELECT pgbackfill.unthrottle()") == 1
    assert await alice.fetchval("SELECT session_user") == await shop.connection.fetchval(
        "SELECT DISTINCT actor FROM pgbackfill.events WHERE event IN ('throttled', 'throttle_ended')"
    )
    bob = await shop.database.connect(await shop.database.login("pgbackfill_viewer"))
    for call in ("throttle('job', 0.5, '1 h')", "unthrottle('job')", "pause('job', '1 h')"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await bob.fetchval(f"SELECT pgbackfill.{call}")


async def test_a_throttled_job_can_be_deleted(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    await shop.connection.fetchval("SELECT pgbackfill.throttle('job', 0.5, '1 h')")
    await shop.connection.execute("DELETE FROM pgbackfill.jobs")
    assert await shop.connection.fetchval("SELECT count(*) FROM pgbackfill.throttles") == 0
