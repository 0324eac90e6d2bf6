"""Whatever dies in between, `n = n + 1` happens once to every row."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import Any

KILLS = 15
JOBS = ("a", "b", "c")
PACE = {"chunk_max_rows": 25, "max_rows_per_s": 2000}


async def leases_run_out(site: Any) -> None:
    """What time would do: nobody alive holds any of them."""
    await site.connection.execute("UPDATE pgbackfill.ranges SET lease_until = clock_timestamp() WHERE status = 'open'")


async def test_killed_at_random_moments(site: Any) -> None:
    for name in JOBS:
        await site.table(name, 60_000)
        await site.enqueue(name, name, options=PACE)
    moment = random.Random(7)
    kills = 0
    while kills < KILLS:
        daemon = await site.running(max_concurrent_jobs=len(JOBS))
        before = await site.connection.fetchval("SELECT coalesce(sum(chunk_no), 0) FROM pgbackfill.ranges")
        await site.true("SELECT sum(chunk_no) > $1 FROM pgbackfill.ranges", before)
        # Not synchronisation: a moment that nobody chose.
        await asyncio.sleep(moment.uniform(0, 0.08))
        daemon.send(signal.SIGKILL)
        await daemon.ended()
        kills += 1
        await leases_run_out(site)
    unfinished = await site.connection.fetchval("SELECT count(*) FROM pgbackfill.jobs WHERE status = 'running'")
    assert unfinished == len(JOBS), "the kills came too late to prove anything"
    await site.connection.execute("UPDATE pgbackfill.jobs SET options = '{}'")
    assert await site.daemon("--drain", max_concurrent_jobs=len(JOBS)).ended() == 0
    for name in JOBS:
        await site.changed_once(name)
        assert (await site.progress(name))["rows_scanned"] == 60_000
        assert (await site.range(name))["epoch"] >= KILLS


async def test_another_daemon_takes_over_when_the_lease_has_run_out(site: Any) -> None:
    await site.slow_job("long", "users")
    first = await site.running(lease_s=5)
    await site.chunks("long")
    second = await site.running(lease_s=5)
    first.send(signal.SIGKILL)
    await first.ended()
    left = await site.range("long")
    claimed = await second.logged("range claimed", job="long")
    assert claimed["epoch"] == left["epoch"] + 1
    # By the database's clock, not before the lease ended.
    assert await site.connection.fetchval("SELECT clock_timestamp() > $1", left["lease_until"])
    await site.hurry("long")
    await site.reaches("long", "succeeded")
    await site.changed_once("users")


async def test_a_zombie_that_wakes_after_its_lease_changes_nothing(site: Any) -> None:
    await site.slow_job("long", "users")
    zombie = await site.running(lease_s=5)
    await site.chunks("long")
    await until_between_chunks(site, zombie)
    second = await site.running(lease_s=5)
    await second.logged("range claimed", job="long")
    before = (await site.range("long"))["chunk_no"]
    await site.chunks("long", before)
    zombie.send(signal.SIGCONT)
    await zombie.logged("lease lost", job="long")
    await site.hurry("long")
    done = await site.reaches("long", "succeeded")
    assert done["rows_scanned"] == 20_000
    await site.changed_once("users")
    assert zombie.process.poll() is None
    # It is of use again.
    assert await second.stop() == 0
    await site.table("orders", 10)
    await site.enqueue("next", "orders")
    await site.reaches("next", "succeeded")


async def until_between_chunks(site: Any, daemon: Any) -> None:
    """Freezes the daemon at a moment when it has no transaction open, so that its lock is in nobody's way."""
    while True:
        daemon.send(signal.SIGSTOP)
        open_transaction = await site.connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pgbackfill/work'"
            " AND (state <> 'idle' OR xact_start IS NOT NULL))"
        )
        if not open_transaction:
            return
        daemon.send(signal.SIGCONT)
        await site.chunks("long", (await site.range("long"))["chunk_no"])


async def test_a_daemon_frozen_inside_a_chunk_keeps_its_range_from_others(site: Any) -> None:
    await site.table("users", 2000)
    await site.connection.execute(
        "CREATE TABLE gate (id int);"
        "CREATE FUNCTION pass_gate() RETURNS int LANGUAGE plpgsql"
        " AS 'BEGIN INSERT INTO gate SELECT 1 WHERE false; RETURN 0; END'"
    )
    await site.enqueue(
        "gated", "users", set_clause="n = n + 1 + pass_gate()",
        options={"chunk_max_rows": 500, "lock_timeout_ms": 60_000, "statement_timeout_ms": 60_000},
    )  # fmt: skip
    holder = await site.database.connect()
    async with holder.transaction():
        await holder.execute("LOCK TABLE gate IN SHARE MODE")
        frozen = await site.running(lease_s=5)
        await site.true("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')")
        frozen.send(signal.SIGSTOP)
        second = await site.running(lease_s=5)
        await site.true("SELECT lease_until < clock_timestamp() FROM pgbackfill.ranges")
        # The lease is over, but the open transaction holds the row of the range: two more looks do not claim it.
        await site.table("orders", 10)
        await site.enqueue("next", "orders")
        await site.held("next", "old_transaction pid")
        await site.want("next", "cancel")
        await site.reaches("next", "cancelled")
        assert not second.events("range claimed", job="gated")
    frozen.send(signal.SIGCONT)
    await site.reaches("gated", "succeeded")
    await site.changed_once("users")
    assert (await site.progress("gated"))["rows_scanned"] == 2000


async def test_two_daemons_never_work_on_the_same_range(site: Any) -> None:
    tables = [f"t{i}" for i in range(6)]
    for table in tables:
        await site.table(table, 3000)
        await site.enqueue(table, table, options={"chunk_max_rows": 100})
    first, second = site.daemon("--drain", lease_s=5), site.daemon("--drain", lease_s=5)
    assert await first.ended() == 0
    assert await second.ended() == 0
    claims = [
        [(entry["job"], entry["epoch"]) for entry in daemon.events("range claimed")] for daemon in (first, second)
    ]
    assert all(claims), "both took part"
    assert sorted(claims[0] + claims[1]) == [(table, 1) for table in tables]
    for table in tables:
        await site.changed_once(table)


async def test_terminated_connections_are_replaced(site: Any) -> None:
    await site.table("users", 20_000)
    await site.enqueue("long", "users", options=PACE)
    daemon = await site.running("--drain", http__enabled="true", http__port=0)
    for _ in range(8):
        await site.chunks("long", (await site.range("long")).get("chunk_no", 0) + 1)
        await site.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgbackfill/%'"
        )
    await site.hurry("long")
    assert await daemon.ended() == 0
    assert (await site.progress("long"))["rows_scanned"] == 20_000
    await site.changed_once("users")


async def test_it_goes_on_by_itself_after_a_server_crash(own_site: Any, own_pair: Any) -> None:
    site = own_site
    await site.table("users", 20_000)
    await site.enqueue("long", "users", options=PACE)
    daemon = await site.running("--drain", http__enabled="true", http__port=0)
    for round_ in range(3):
        await site.chunks("long", (await site.range("long")).get("chunk_no", 0) + 2)
        await asyncio.to_thread(own_pair.primary.stop, "immediate")
        await daemon.logged("held", times=round_ + 1, job="long")
        status, text = await daemon.get("/readyz")
        assert status == 503, text
        assert (await daemon.get("/healthz"))[0] == 200
        await asyncio.to_thread(own_pair.primary.start)
        site.connection = await site.database.connect()
        await daemon.logged("hold ended", times=round_ + 1, job="long")
    await site.hurry("long")
    assert await daemon.ended() == 0
    assert (await site.progress("long"))["rows_scanned"] == 20_000
    await site.changed_once("users")
    assert len(daemon.events("held", job="long")) == 3, "once on entry, once on recovery"
