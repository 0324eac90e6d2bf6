"""Several lanes, of one daemon and of several, on one job."""

from __future__ import annotations

import signal
from typing import Any

SLOW = {"parallelism": 2, "chunk_max_rows": 10, "max_rows_per_s": 600}
LIVE = "SELECT count(*) FROM pgbackfill.ranges WHERE status = 'open' AND lease_until > clock_timestamp()"
CHUNKS = "SELECT sum(chunk_no) FROM pgbackfill.ranges"


async def lanes(site: Any, count: int) -> None:
    """Waits until so many lanes are at work, each with a chunk behind it."""
    await site.true(f"SELECT ({LIVE} AND chunk_no > 0) = $1", count)


async def hurry(site: Any, name: str, parallelism: int = 2) -> None:
    await site.connection.execute(
        "UPDATE pgbackfill.jobs SET options = jsonb_build_object('parallelism', $2::int) WHERE name = $1",
        name,
        parallelism,
    )


async def test_two_daemons_with_two_lanes_each_and_one_of_them_killed(site: Any) -> None:
    await site.table("users", 20_000)
    await site.enqueue("wide", "users", options=SLOW)
    first, second = await site.running(lease_s=5), await site.running(lease_s=5)
    await lanes(site, 4)
    assert await site.connection.fetchval("SELECT count(*) FROM pgbackfill.ranges") == 8
    assert len(await site.connection.fetch("SELECT DISTINCT worker_id FROM pgbackfill.ranges WHERE worker_id > 0")) == 2
    first.send(signal.SIGKILL)
    await first.ended()
    left = [entry["range"] for entry in first.events("range claimed", job="wide")]
    await hurry(site, "wide")
    done = await site.reaches("wide", "succeeded")
    assert (done["rows_scanned"], done["rows_changed"], done["percent"]) == (20_000, 20_000, 100)
    await site.changed_once("users")
    assert len(left) == 2
    for ordinal in left:
        taken = await second.logged("range claimed", job="wide", range=ordinal)
        assert taken["epoch"] == 2
    assert await second.stop() == 0


async def test_kills_at_any_moment_lose_and_repeat_nothing(site: Any) -> None:
    await site.table("users", 40_000)
    await site.enqueue("wide", "users", options={"parallelism": 2, "chunk_max_rows": 25, "max_rows_per_s": 1000})
    survivor = await site.running(lease_s=5)
    for _ in range(5):
        victim = await site.running(lease_s=5)
        await lanes(site, 4)
        victim.send(signal.SIGKILL)
        await victim.ended()
        await site.connection.execute(  # what time would do
            "UPDATE pgbackfill.ranges SET lease_until = clock_timestamp() WHERE status = 'open' AND worker_id <> $1",
            (await survivor.logged("ready"))["worker"],
        )
    await hurry(site, "wide")
    assert (await site.reaches("wide", "succeeded"))["rows_scanned"] == 40_000
    await site.changed_once("users")
    assert await site.connection.fetchval("SELECT max(epoch) FROM pgbackfill.ranges") > 1


async def test_pause_and_cancel_stop_every_lane(site: Any) -> None:
    await site.table("users", 20_000)
    await site.enqueue("wide", "users", options=SLOW)
    first, second = await site.running(), await site.running()
    await lanes(site, 4)
    await site.want("wide", "pause")
    await site.reaches("wide", "paused")
    assert await site.connection.fetchval(LIVE) == 0
    stood = await site.connection.fetchval(CHUNKS)
    await site.table("orders", 10)
    await site.enqueue("witness", "orders")
    await site.reaches("witness", "succeeded")
    assert await site.connection.fetchval(CHUNKS + " WHERE job_id = (SELECT id FROM pgbackfill.jobs LIMIT 1)") == stood
    await site.want("wide", "run")
    await lanes(site, 4)
    await site.want("wide", "cancel")
    cancelled = await site.reaches("wide", "cancelled")
    assert await site.connection.fetchval("SELECT sum(n) FROM users") == cancelled["rows_changed"]
    assert (await site.cli("retry", "wide")).returncode == 0
    await hurry(site, "wide")
    await site.reaches("wide", "succeeded")
    await site.changed_once("users")
    for daemon in (first, second):
        assert not daemon.entries(level="warning")
        assert await daemon.stop() == 0


async def test_parallelism_changes_on_a_running_job(site: Any) -> None:
    await site.table("users", 20_000)
    await site.enqueue("wide", "users", options=SLOW | {"parallelism": 3})
    await site.running()
    await lanes(site, 3)
    await site.connection.execute("""UPDATE pgbackfill.jobs SET options = options || '{"parallelism": 1}'""")
    await site.true(f"SELECT ({LIVE}) = 1")
    await site.connection.execute("""UPDATE pgbackfill.jobs SET options = options || '{"parallelism": 4}'""")
    await site.true(f"SELECT ({LIVE}) = 4")
    await hurry(site, "wide", 4)
    assert (await site.reaches("wide", "succeeded"))["rows_scanned"] == 20_000
    await site.changed_once("users")


async def test_the_limits_of_a_job_are_shared_by_its_lanes_on_all_daemons(site: Any) -> None:
    await site.table("users", 40_000)
    await site.enqueue("wide", "users", options={"parallelism": 2, "max_rows_per_s": 400})
    await site.running()
    await site.running()
    # A chunk is at most a second's worth of its lane's part of the limit.
    await site.true(
        "SELECT count(*) = 4 AND max(chunk_rows) <= 100 FROM pgbackfill.ranges WHERE lease_until > clock_timestamp()"
    )


async def test_lanes_are_no_jobs(site: Any) -> None:
    await site.table("users", 20_000)
    await site.enqueue("wide", "users", options=SLOW | {"parallelism": 3})
    await site.slow_job("next", "orders")
    daemon = await site.running(max_concurrent_jobs=1)
    await lanes(site, 3)
    assert (await site.progress("next"))["status"] == "queued"
    await hurry(site, "wide", 3)
    await site.reaches("wide", "succeeded")
    await daemon.logged("range claimed", job="next")
    await site.hurry("next")
    await site.reaches("next", "succeeded")
    await site.changed_once("users")
    await site.changed_once("orders")


async def test_what_a_dead_daemon_left_comes_before_new_jobs(site: Any) -> None:
    await site.slow_job("orphan", "users")
    dead = await site.running(lease_s=5)
    await site.chunks("orphan")
    dead.send(signal.SIGKILL)
    await dead.ended()
    await site.connection.execute("UPDATE pgbackfill.ranges SET lease_until = clock_timestamp()")
    await site.table("orders", 10)
    await site.enqueue("new", "orders", priority=9)
    second = await site.running(max_concurrent_jobs=1)
    await second.logged("range claimed", job="orphan")
    await site.hurry("orphan")
    await site.reaches("new", "succeeded")
    names = [entry["job"] for entry in second.events("range claimed")]
    assert names == ["orphan", "new"]
    await site.changed_once("users")


async def test_a_hold_of_all_lanes_is_said_once(site: Any) -> None:
    await site.table("users", 20_000)
    await site.enqueue("wide", "users", options=SLOW | {"parallelism": 4})
    daemon = await site.running(http__enabled="true", http__port=0)
    await lanes(site, 4)
    daemon.send(signal.SIGUSR1)
    await site.true("SELECT count(*) = 4 FROM pgbackfill.ranges WHERE hold_reason = 'paused by signal'")
    assert (await site.progress("wide"))["hold_reason"] == "paused by signal"
    assert (await daemon.metrics())['pgbackfill_hold{reason="paused"}'] == 1
    stood = await site.connection.fetchval(CHUNKS)
    daemon.send(signal.SIGUSR2)
    await daemon.logged("hold ended", job="wide")
    await site.true(CHUNKS.replace("sum(chunk_no)", "sum(chunk_no) > $1"), stood)
    await site.true("SELECT count(*) = 0 FROM pgbackfill.ranges WHERE hold_reason IS NOT NULL")
    assert (await daemon.metrics())['pgbackfill_hold{reason="paused"}'] == 0
    assert [entry["reason"] for entry in daemon.events("held")] == ["paused by signal"]
    assert len(daemon.events("hold ended")) == 1
    assert (await site.progress("wide"))["rows_per_second"] > 0


async def test_daemons_share_the_leaves_of_a_table(site: Any) -> None:
    await site.connection.execute(
        "CREATE TABLE visits (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);"
        "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (2000);"
        "CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM (2000) TO (20001);"
        "INSERT INTO visits SELECT i FROM generate_series(1, 20000) AS i; ANALYZE visits"
    )
    await site.enqueue("leaves", "visits", options=SLOW | {"parallelism": 1})
    await site.running()
    await site.running()
    await lanes(site, 2)
    assert await site.connection.fetchval("SELECT count(DISTINCT worker_id) FROM pgbackfill.ranges") == 2
    await hurry(site, "leaves", 1)
    assert (await site.reaches("leaves", "succeeded"))["rows_scanned"] == 20_000
    await site.changed_once("visits")
