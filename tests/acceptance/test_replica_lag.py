"""Holds on replica lag, with a real streaming standby."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

SMALL_CHUNKS = {"chunk_max_rows": 200, "max_rows_per_s": 20_000}


@asynccontextmanager
async def replay_paused(standby: Any) -> AsyncIterator[None]:
    connection = await asyncpg.connect(standby.dsn())
    try:
        await connection.execute("SELECT pg_wal_replay_pause()")
        yield
    finally:
        await connection.execute("SELECT pg_wal_replay_resume()")
        await connection.close()


async def test_a_lagging_replica_holds_the_job_until_it_has_caught_up(paired_site: Any, pair: Any) -> None:
    site = paired_site
    await site.table("users", 200_000)
    await site.enqueue("long", "users", options=SMALL_CHUNKS)
    daemon = await site.running(http__enabled="true", http__port=0, lag_soft_s=0.5, lag_hard_s=1)
    await site.chunks("long")
    async with replay_paused(pair.standby):
        held = await site.held("long", "replica_lag ")
        assert held["hold_reason"].endswith("> 1s (standby)")
        assert (held["status"], held["eta_high"]) == ("running", None)
        stood = (await site.range("long"))["chunk_no"]
        logged = await daemon.logged("held", job="long")
        assert logged["reason"].startswith("replica_lag ")
        metrics = await daemon.metrics()
        assert metrics['pgbackfill_hold{reason="replica_lag"}'] == 1
        assert metrics['pgbackfill_replica_lag_seconds{replica="standby"}'] > 0.5
        assert metrics['pgbackfill_replica_backlog_bytes{replica="standby"}'] > 0
        assert metrics['pgbackfill_signal_limit{level="hard",signal="replica_lag"}'] == 1
        # The words are kept up to date, and so is the lease.
        await site.true("SELECT hold_reason > $1 FROM pgbackfill.ranges", held["hold_reason"])
        assert (await site.range("long"))["chunk_no"] == stood
    await daemon.logged("hold ended", job="long")
    await site.chunks("long", stood)
    await site.hurry("long")
    await site.reaches("long", "succeeded")
    await site.changed_once("users")
    metrics = await daemon.metrics()
    assert metrics['pgbackfill_hold{reason="replica_lag"}'] == 0
    assert metrics['pgbackfill_held_seconds_total{reason="replica_lag"}'] > 0


async def test_a_held_job_can_be_paused_and_cancelled(paired_site: Any, pair: Any) -> None:
    site = paired_site
    await site.table("users", 200_000)
    await site.enqueue("long", "users", options=SMALL_CHUNKS)
    await site.running(lag_soft_s=0.5, lag_hard_s=1)
    await site.chunks("long")
    async with replay_paused(pair.standby):
        await site.held("long", "replica_lag ")
        await site.want("long", "pause")
        paused = await site.reaches("long", "paused")
        assert paused["hold_reason"] is None
        await site.want("long", "cancel")
        assert (await site.progress("long"))["status"] == "cancelled"


async def test_a_replica_that_vanished_is_not_one_without_lag(own_site: Any, own_pair: Any) -> None:
    site = own_site
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0)
    await site.chunks("long")
    await asyncio.to_thread(own_pair.standby.stop, "fast")
    held = await site.held("long", "replica_lag unknown for ")
    assert held["hold_reason"].endswith("(standby)")
    metrics = await daemon.metrics()
    assert metrics['pgbackfill_hold{reason="replica_lag"}'] == 1
    # Its last lag was a healthy one.
    assert math.isnan(metrics['pgbackfill_signal_value{signal="replica_lag"}'])
    assert math.isnan(metrics['pgbackfill_replica_lag_seconds{replica="standby"}'])
    await asyncio.to_thread(own_pair.standby.start)
    await daemon.logged("hold ended", job="long")
    await site.hurry("long")
    await site.reaches("long", "succeeded")
    await site.changed_once("users")


async def test_an_expected_replica_that_was_never_there_holds(site: Any) -> None:
    await site.table("users", 1000)
    await site.enqueue("long", "users")
    await site.running(expected_replicas="replica-b", chunk_max_rows=1, max_rows_per_s=20)
    held = await site.held("long", "replica_lag unknown for ")
    assert held["hold_reason"].endswith("(replica-b)")


async def test_a_login_that_cannot_see_replication_is_told_how_once(paired_site: Any) -> None:
    site = paired_site
    await site.slow_job("long", "users")
    dsn = await site.database.login("pgbackfill_daemon", "pgbackfill_worker")
    user = dsn.split("//")[1].split(":")[0]
    await site.connection.execute(f"GRANT SELECT, UPDATE ON users TO {user}")
    daemon = await site.running(dsn=dsn)
    told = await daemon.logged("replication cannot be seen")
    assert told["hint"] == f"GRANT pg_monitor TO {user}"
    await site.held("long", "replica_lag unknown for ")
    await site.connection.execute(f"GRANT pg_monitor TO {user}")
    await daemon.logged("hold ended", job="long")
    await site.hurry("long")
    await site.reaches("long", "succeeded")
    await site.changed_once("users")
    assert len(daemon.events("replication cannot be seen")) == 1
