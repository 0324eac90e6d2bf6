"""Signals of the operating system."""

from __future__ import annotations

import signal
from typing import Any

SLEEPS = {"set_clause": "n = n + 1 + length(pg_sleep(600)::text)", "options": {"statement_timeout_ms": 3_600_000}}
"""One row takes ten minutes."""

SLEEPING = "EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%job=stuck%' AND wait_event = 'PgSleep')"


async def test_term_finishes_the_chunk_and_releases_the_lease(site: Any) -> None:
    await site.table("users", 1000)
    # Every chunk waits at a gate that the test holds: the signal comes inside a chunk. An advisory lock is neither met
    # while a chunk is planned nor a transaction that the upper bound would wait for.
    await site.enqueue(
        "gated", "users", set_clause="n = n + 1 + length(pg_advisory_xact_lock_shared(7)::text)",
        options={"chunk_max_rows": 100, "lock_timeout_ms": 60_000, "statement_timeout_ms": 60_000},
    )  # fmt: skip
    holder = await site.database.connect()
    await holder.execute("SELECT pg_advisory_lock(7)")
    daemon = await site.running()
    await site.true("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    daemon.send(signal.SIGTERM)
    await daemon.logged("stopping")
    assert daemon.process.poll() is None
    await holder.execute("SELECT pg_advisory_unlock(7)")
    assert await daemon.ended() == 0
    row = await site.range("gated")
    assert (row["chunk_no"], row["status"]) == (1, "open")
    assert row["lease_until"] is None
    assert row["token_hash"] is None
    assert await site.connection.fetchval("SELECT count(*) FROM users WHERE n = 1") == row["rows_changed"] > 0
    assert (await site.progress("gated"))["status"] == "running"
    assert await site.connection.fetchval("SELECT count(*) FROM pgbackfill.workers") == 0
    assert await site.daemon("--drain").ended() == 0
    await site.changed_once("users")


async def test_a_second_term_cancels_the_chunk(site: Any) -> None:
    await site.table("users", 10)
    await site.enqueue("stuck", "users", **SLEEPS)
    daemon = await site.running()
    await site.true(f"SELECT {SLEEPING}")
    daemon.send(signal.SIGTERM)
    await daemon.logged("stopping", chunks="finished first")
    assert await site.connection.fetchval(f"SELECT {SLEEPING}")
    daemon.send(signal.SIGTERM)
    assert await daemon.ended() == 0
    await site.true(f"SELECT NOT {SLEEPING}")
    row = await site.range("stuck")
    assert (row["chunk_no"], row["lease_until"]) == (0, None)
    assert await site.connection.fetchval("SELECT sum(n) FROM users") == 0


async def test_int_stops_like_term(site: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running()
    await site.chunks("long")
    daemon.send(signal.SIGINT)
    assert await daemon.ended() == 0
    assert (await site.range("long"))["lease_until"] is None


async def test_hup_reads_the_settings_again(site: Any) -> None:
    await site.table("users", 20_000)
    await site.enqueue("long", "users")
    config = site.folder / "pgbackfill.toml"
    config.write_text("chunk_max_rows = 10\nmax_rows_per_s = 300\n")
    daemon = await site.running("--config", str(config))
    await site.chunks("long")
    assert (await site.range("long"))["chunk_rows"] <= 10
    config.write_text("chunk_max_rows = 'many'\n")
    daemon.send(signal.SIGHUP)
    refused = await daemon.logged("settings not re-read")
    assert "chunk_max_rows" in refused["error"]
    await site.chunks("long", (await site.range("long"))["chunk_no"])
    assert (await site.range("long"))["chunk_rows"] <= 10
    config.write_text("chunk_max_rows = 40\nmax_rows_per_s = 1200\n")
    daemon.send(signal.SIGHUP)
    await daemon.logged("settings re-read")
    await site.true("SELECT chunk_rows > 10 AND chunk_rows <= 40 FROM pgbackfill.ranges")


async def test_a_paused_daemon_can_be_stopped(site: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running()
    await site.chunks("long")
    daemon.send(signal.SIGUSR1)
    await site.held("long", "paused by signal")
    assert await daemon.stop() == 0
    row = await site.range("long")
    assert (row["lease_until"], row["hold_reason"]) == (None, None)


async def test_hup_takes_another_login_for_the_next_connections(site: Any) -> None:
    await site.slow_job("long", "users")
    logins = [await site.database.login("pgbackfill_worker") for _ in range(2)]
    names = [dsn.split("//")[1].split(":")[0] for dsn in logins]
    await site.connection.execute(f"GRANT SELECT, UPDATE ON users TO {', '.join(names)}")
    config = site.folder / "pgbackfill.toml"
    config.write_text(f'work_dsn = "{logins[0]}"\n')
    daemon = await site.running("--config", str(config))
    done = await site.chunks("long")
    await site.connection.execute(f"ALTER ROLE {names[0]} NOLOGIN")
    await site.connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", names[0])
    held = await site.held("long", "disconnected login refused: ")
    assert held["hold_reason"].endswith(f" as {names[0]})"), held
    config.write_text(f'work_dsn = "{logins[1]}"\n')
    daemon.send(signal.SIGHUP)
    await daemon.logged("settings re-read")
    await site.chunks("long", done + 2)
