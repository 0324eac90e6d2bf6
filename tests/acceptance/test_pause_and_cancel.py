"""Pause, resume, cancel and retry, by every way that a user has. "No more chunks" is counted, never timed."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

WAYS = ("flag", "function", "command", "http")


async def say(site: Any, daemon: Any, way: str, action: str, name: str) -> None:
    """Asks for `action` in one of the ways."""
    if way == "flag":
        await site.want(name, {"pause": "pause", "resume": "run", "cancel": "cancel"}[action])
    elif way == "function":
        await site.connection.fetchval(f"SELECT pgbackfill.{action}($1)", name)
    elif way == "command":
        done = await site.cli(action, name, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["name"] == name
    else:
        status, text = await daemon.post(f"/api/v1/jobs/{name}/{action}")
        assert status == 200, text


async def passes(site: Any) -> None:
    """The daemon lives and works: another job goes from start to end."""
    count = await site.connection.fetchval("SELECT count(*) FROM pgbackfill.jobs")
    await site.table(f"witness_{count}", 50)
    await site.enqueue(f"witness-{count}", f"witness_{count}")
    await site.reaches(f"witness-{count}", "succeeded")


async def beats(site: Any, until: Callable[..., Awaitable[Any]]) -> None:
    """Two more heartbeats: about the time of some hundred chunks."""
    for _ in range(2):
        before = await site.connection.fetchval("SELECT max(heartbeat_at) FROM pgbackfill.workers")
        await site.true("SELECT max(heartbeat_at) > $1 FROM pgbackfill.workers", before)


@pytest.mark.parametrize("way", WAYS)
async def test_a_job_pauses_at_a_chunk_boundary_and_goes_on(site: Any, way: str) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0)
    await site.chunks("long")
    await say(site, daemon, way, "pause", "long")
    paused = await site.reaches("long", "paused")
    stood = await site.range("long")
    assert stood["lease_until"] is None
    assert paused["desired_state"] == "pause"
    await passes(site)
    assert await site.range("long") == stood
    await say(site, daemon, way, "resume", "long")
    await site.hurry("long")
    await site.reaches("long", "succeeded")
    await site.changed_once("users")


@pytest.mark.parametrize("way", WAYS)
async def test_a_cancelled_job_keeps_its_counts_and_a_retry_goes_on(site: Any, way: str) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0)
    await site.chunks("long")
    await say(site, daemon, way, "cancel", "long")
    cancelled = await site.reaches("long", "cancelled")
    stood = await site.range("long")
    assert 0 < cancelled["rows_changed"] < 20_000
    assert cancelled["finished_at"] is not None
    assert await site.connection.fetchval("SELECT sum(n) FROM users") == cancelled["rows_changed"]
    await passes(site)
    assert await site.range("long") == stood
    await site.hurry("long")
    await say(site, daemon, "function" if way == "flag" else way, "retry", "long")
    done = await site.reaches("long", "succeeded")
    assert (done["rows_scanned"], done["rows_changed"]) == (20_000, 20_000)
    await site.changed_once("users")


async def test_a_queued_job_can_be_paused_cancelled_and_resumed(site: Any) -> None:
    await site.slow_job("first", "users")
    await site.enqueue("second", "users", set_clause="note = 'second'")
    await site.enqueue("third", "users", set_clause="note = 'third'")
    await site.running()
    await site.chunks("first")
    await site.want("second", "pause")
    assert (await site.progress("second"))["status"] == "paused"
    await site.want("third", "cancel")
    assert (await site.progress("third"))["status"] == "cancelled"
    await site.hurry("first")
    await site.reaches("first", "succeeded")
    await passes(site)
    assert (await site.range("second"), await site.range("third")) == ({}, {})
    await site.want("second", "run")
    await site.reaches("second", "succeeded")
    assert await site.connection.fetchval("SELECT bool_and(note = 'second') FROM users")


async def test_a_job_paused_by_its_flag_stays_paused_when_the_daemon_comes_back(site: Any) -> None:
    await site.slow_job("long", "users")
    first = await site.running()
    await site.chunks("long")
    await site.want("long", "pause")
    await site.reaches("long", "paused")
    stood = await site.range("long")
    assert await first.stop() == 0
    await site.running()
    await passes(site)
    assert await site.range("long") == stood
    # Nor does a daemon that died before it could take notice forget it.
    await site.want("long", "run")
    await site.chunks("long", stood["chunk_no"])


async def test_a_pause_that_a_killed_daemon_never_saw_is_kept(site: Any) -> None:
    await site.slow_job("long", "users")
    first = await site.running()
    await site.chunks("long")
    first.send(signal.SIGSTOP)
    await site.want("long", "pause")
    first.send(signal.SIGKILL)
    await first.ended()
    stood = await site.range("long")
    await site.connection.execute("UPDATE pgbackfill.ranges SET lease_until = clock_timestamp()")  # it runs out
    await site.running()
    await site.reaches("long", "paused")
    await passes(site)
    assert (await site.range("long"))["chunk_no"] == stood["chunk_no"]


async def test_holders_of_a_process_pause_release_only_their_own(site: Any, until: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0)
    await site.chunks("long")
    daemon.send(signal.SIGUSR1)
    held = await site.held("long", "paused by signal")
    assert (held["status"], held["desired_state"]) == ("running", "run")
    assert held["hold_since"] is not None
    stood = (await site.range("long"))["chunk_no"]
    status, text = await daemon.post("/api/v1/pause")
    assert (status, json.loads(text)["paused_by"]) == (200, ["signal", "http"])
    daemon.send(signal.SIGUSR2)
    await daemon.logged("resumed", by="signal")
    await site.held("long", "paused by http")
    await site.true("SELECT paused_by = '{http}' FROM pgbackfill.workers")
    await beats(site, until)
    assert (await site.range("long"))["chunk_no"] == stood
    metrics = await daemon.metrics()
    assert metrics['pgbackfill_hold{reason="paused"}'] == 1
    assert metrics['pgbackfill_held_seconds_total{reason="paused"}'] > 0
    status, text = await daemon.post("/api/v1/resume")
    assert (status, json.loads(text)["paused_by"]) == (200, [])
    await site.chunks("long", stood)
    assert (await site.progress("long"))["hold_reason"] is None
    await site.hurry("long")
    await site.reaches("long", "succeeded")
    await site.changed_once("users")
    assert [entry["reason"] for entry in daemon.events("held")] == ["paused by signal"]
    assert len(daemon.events("hold ended")) == 1


async def test_a_paused_process_keeps_its_lease_and_begins_nothing(site: Any, until: Any) -> None:
    await site.slow_job("long", "users")
    paused = await site.running(lease_s=5)
    await site.chunks("long")
    paused.send(signal.SIGUSR1)
    await site.held("long", "paused by signal")
    stood = await site.range("long")
    # Past the lease as it was when the pause began, with another daemon that would take the range over.
    await site.running(lease_s=5)
    await site.table("orders", 100)
    await site.enqueue("short", "orders")
    await site.reaches("short", "succeeded")
    await site.true("SELECT clock_timestamp() > $1", stood["lease_until"])
    await beats(site, until)
    now = await site.range("long")
    assert (now["epoch"], now["chunk_no"]) == (stood["epoch"], stood["chunk_no"])
    assert not paused.events("job started", job="short")
