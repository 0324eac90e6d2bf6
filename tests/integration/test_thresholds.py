"""Signals with two thresholds, on real servers: what each reads, when it holds, and that an idle server is at ease."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.watching import Watching, until, watching

from pgbackfill.embedded import Binaries, Server
from pgbackfill.settings_signals import SignalSettings
from pgbackfill.worker.probes.increase import Increase
from pgbackfill.worker.probes.sources import SOURCES

SOON = 0.5


def limits(name: str, soft: float | None, hard: float | None = None) -> dict[str, Any]:
    """Only this signal, polled often."""
    off: dict[str, Any] = {source.name: {"enabled": False} for source in SOURCES}
    return off | {name: {"soft": soft, "hard": hard, "interval_s": SOON}}


class Job:
    """A running job, as far as signals look at it."""

    def __init__(self, relation: int) -> None:
        self.relation = relation


async def walk(daemon: Watching, connection: Any, table: str) -> None:
    daemon.context.jobs = {1: Job(await connection.fetchval("SELECT $1::regclass::oid::bigint", table))}  # type: ignore[dict-item]


async def reaches(daemon: Watching, name: str, least: float) -> Any:
    """Waits until the value is at least that; the signal."""

    def look() -> Any:
        signal = daemon.signal(name)
        return signal if signal is not None and signal.value is not None and signal.value >= least else None

    return await until(look, f"{name} reaches {least}: {daemon.shown(name)}")


@contextlib.asynccontextmanager
async def slot(connection: Any, name: str, kind: str = "physical") -> AsyncIterator[None]:
    if kind == "physical":
        await connection.execute("SELECT pg_create_physical_replication_slot($1, true)", name)
    else:
        await connection.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", name)
    try:
        yield
    finally:
        await connection.execute("SELECT pg_drop_replication_slot($1)", name)


async def some_wal(connection: Any) -> None:
    await connection.execute("CREATE TABLE IF NOT EXISTS filler AS SELECT generate_series(1, 20000) AS n")
    await connection.execute("UPDATE filler SET n = n + 1")


def test_every_source_has_settings_and_every_setting_a_source() -> None:
    assert [source.name for source in SOURCES] == list(SignalSettings.model_fields)


def test_an_increase_forgets_what_is_old_and_survives_a_reset() -> None:
    increase = Increase(300)
    assert increase.value(1000, now=0) == 0, "what happened before we looked is not our doing"
    assert increase.value(1002, now=10) == 2
    assert increase.value(1003, now=200) == 3
    assert increase.value(1003, now=311) == 1
    assert increase.value(1, now=312) == 2, "the statistics were reset, then one more"


async def test_an_idle_server_neither_holds_nor_slows(database: Any) -> None:
    connection = await database.connect()
    await connection.execute("CREATE TABLE users (id bigint PRIMARY KEY)")
    # The canaries are judged elsewhere; other tests run beside this one.
    async with watching(database.dsn, latency_slack_ms=30_000) as daemon:
        await walk(daemon, connection, "users")
        for source in SOURCES:
            assert (await daemon.known(source.name)).level == "ok", source.name
        assert daemon.hold() is None
        assert daemon.context.governor.speed(daemon.context.settings.pacing, now=daemon.context.now()) == 1.0
        names = [f'pgbackfill_signal_{kind}{{signal="{s.name}"}}' for s in SOURCES for kind in ("value", "age_seconds")]

        def exposed() -> bool:
            rendered = daemon.context.metrics.render()[0].decode()
            return all(name in rendered for name in names)

        await until(exposed, "every signal is in the metrics")


async def test_a_slot_that_retains_too_much_holds_and_is_named(database: Any) -> None:
    connection = await database.connect()
    async with slot(connection, "forgotten"):
        signals = limits("slot_retained", 0, 1000)
        async with watching(database.dsn, signals=signals) as daemon:
            await some_wal(connection)
            assert (await daemon.held("slot_retained ")).endswith("(slot forgotten, inactive)")
            daemon.set(ignored_slots=["forgotten"])
            await until(lambda: daemon.hold() is None, "it is ignored")


async def test_a_logical_consumer_has_a_limit_of_its_own(database: Any) -> None:
    connection = await database.connect()
    signals = limits("logical_lag", 0, 1000)
    async with slot(connection, "subscriber", "logical"), watching(database.dsn, signals=signals) as daemon:
        await some_wal(connection)
        reason = await daemon.held("logical_lag ")
        assert reason.endswith("> 1000B (slot subscriber, inactive)")
        assert daemon.replicas() == {}, "and is no replica"


async def test_dead_rows_of_the_walked_table_slow_down(database: Any) -> None:
    connection = await database.connect()
    await connection.execute("""
        CREATE TABLE users (id int, n int) PARTITION BY RANGE (id);
        CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (0) TO (100000) WITH (autovacuum_enabled = off);
        INSERT INTO users SELECT i, 0 FROM generate_series(1, 20000) AS i
    """)
    await connection.execute("UPDATE users SET n = n + 1")
    async with watching(database.dsn, signals=limits("dead_tuples", 50)) as daemon:
        await walk(daemon, connection, "users")
        signal = await reaches(daemon, "dead_tuples", 99)
        assert (signal.detail, signal.level) == ("users_1", "soft")
        assert daemon.hold() is None
        daemon.context.jobs = {}
        await until(lambda: (daemon.signal("dead_tuples") or signal).value == 0, "nothing is walked")


async def test_dead_rows_are_compared_with_the_rows_of_the_table_where_statistics_were_lost(database: Any) -> None:
    """A crash, a failover and a clone of a database lose them."""
    connection = await database.connect()
    await connection.execute(
        "CREATE TABLE t WITH (autovacuum_enabled = off) AS SELECT i FROM generate_series(1, 40000) i"
    )
    await connection.execute("VACUUM ANALYZE t")
    await connection.execute("SELECT pg_stat_force_next_flush()")
    await connection.execute("SELECT pg_stat_reset()")
    await connection.execute("UPDATE t SET i = i + 1 WHERE i <= 20000")
    async with watching(database.dsn, signals=limits("dead_tuples", 40)) as daemon:
        await walk(daemon, connection, "t")
        signal = await reaches(daemon, "dead_tuples", 49)
        assert signal.value == pytest.approx(50, abs=1)


async def test_an_old_transaction_is_named_and_holds_only_where_somebody_says_so(database: Any) -> None:
    other = await database.connect()
    async with other.transaction():
        await other.execute("CREATE TABLE something ()")
        async with watching(database.dsn, signals=limits("oldest_transaction", 0.2)) as daemon:
            signal = await reaches(daemon, "oldest_transaction", 0.3)
            assert signal.level == "soft"
            # Which one depends on the tests beside this one.
            assert signal.detail.startswith(("pid ", "prepared transaction "))
            assert daemon.hold() is None
            daemon.set(signals=limits("oldest_transaction", 0.2, 0.4))
            assert " > 0.4s (" in await daemon.held("oldest_transaction ")


async def test_connections_count_against_what_logins_may_have(database: Any) -> None:
    connection = await database.connect()
    most = await connection.fetchval("SELECT current_setting('max_connections')::int - 3")
    async with watching(database.dsn, signals=limits("connections", 0.1, 0.2)) as daemon:
        assert (await daemon.held("connections ")).endswith(f"% > 0.2% (of {most})")


async def test_requested_checkpoints_count_and_timed_ones_do_not(database: Any) -> None:
    connection = await database.connect()
    async with watching(database.dsn, signals=limits("requested_checkpoints", 0.5)) as daemon:
        assert (await daemon.known("requested_checkpoints")).value == 0
        await some_wal(connection)
        await connection.execute("CHECKPOINT")
        assert (await reaches(daemon, "requested_checkpoints", 1)).level == "soft"


@pytest.mark.newest
async def test_autovacuum_of_the_walked_table_is_seen_with_its_pinner() -> None:
    settings = {
        "autovacuum_naptime": "1s",
        "autovacuum_vacuum_cost_delay": "100ms",
        "autovacuum_vacuum_cost_limit": "1",
    }
    with Server.create(Binaries.find(18), settings | {"fsync": "off"}) as server:
        async with _migrated(server) as (dsn, connection, other):
            await connection.execute(
                "CREATE TABLE users AS SELECT i AS id, 0 AS n FROM generate_series(1, 200000) AS i"
            )
            async with watching(dsn, signals=limits("autovacuum", 0.1)) as daemon:
                await walk(daemon, connection, "users")
                await connection.execute("UPDATE users SET n = 1")
                signal = await reaches(daemon, "autovacuum", 0.2)
                assert signal.detail.startswith("users, ")
                assert signal.level == "soft"
                pid = await other.fetchval("SELECT pg_backend_pid()")
                async with other.transaction(isolation="repeatable_read"):
                    await other.execute("SELECT count(*) FROM users")
                    # A transaction that is older than the next vacuum: what that leaves dead stays.
                    await connection.execute(
                        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
                    )
                    shown = await daemon.noted("autovacuum", f"pinned by pid {pid}, idle in transaction")
                    assert (shown["value"], shown["level"]) == (0, "ok")


@contextlib.asynccontextmanager
async def _migrated(server: Server) -> AsyncIterator[tuple[str, Any, Any]]:
    import asyncpg

    from pgbackfill.database.migrate import migrate

    connection, other = await asyncpg.connect(server.dsn()), await asyncpg.connect(server.dsn())
    try:
        await migrate(connection)
        yield server.dsn(), connection, other
    finally:
        connection.terminate()
        other.terminate()


@pytest.mark.newest
async def test_a_slot_near_the_end_of_what_it_may_keep_holds_and_a_lost_one_too() -> None:
    settings = {"max_slot_wal_keep_size": "32MB", "max_wal_size": "32MB", "min_wal_size": "32MB", "fsync": "off"}
    with Server.create(Binaries.find(18), settings) as server:
        async with _migrated(server) as (dsn, connection, _):
            await connection.execute("SELECT pg_create_physical_replication_slot('behind', true)")
            async with watching(dsn, signals=limits("slot_wal_used", 50, 80)) as daemon:
                assert (await daemon.known("slot_wal_used")).level == "ok"

                async def more() -> bool:
                    await connection.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 4000000))")
                    await connection.execute("SELECT pg_switch_wal(); CHECKPOINT")
                    lost = "SELECT wal_status = 'lost' FROM pg_replication_slots"
                    return bool(await connection.fetchval(lost))

                await until(more, "the slot is lost")
                assert await daemon.held("slot_wal_used ") == "slot_wal_used 100% > 80% (slot behind, lost)"
                daemon.set(ignored_slots=["behind"])
                await until(lambda: daemon.hold() is None, "it is ignored")


@pytest.mark.newest
async def test_an_archive_that_fails_piles_up_and_holds_with_and_without_rights() -> None:
    settings = {"archive_mode": "on", "archive_command": "true", "fsync": "off"}
    with Server.create(Binaries.find(18), settings) as server:
        async with _migrated(server) as (dsn, connection, _):
            await connection.execute("CREATE ROLE low LOGIN IN ROLE pgbackfill_daemon")

            async def switch() -> None:
                await connection.execute("SELECT pg_logical_emit_message(true, 'x', 'x')")
                await connection.execute("SELECT pg_switch_wal()")

            await switch()
            await until(
                lambda: connection.fetchval("SELECT last_archived_wal IS NOT NULL FROM pg_stat_archiver"), "it archives"
            )
            server.configure({"archive_command": "false"})
            server.reload()
            low = server.dsn(user="low")
            signals = limits("archive_backlog", 1, 2)
            async with watching(dsn, signals=signals) as daemon, watching(low, signals=signals) as restricted:
                for _ in range(4):
                    await switch()
                for each in (daemon, restricted):
                    await reaches(each, "archive_backlog", 4)
                    reason = await until(lambda each=each: "fails" in (each.hold() or "") and each.hold(), "why")
                    assert reason.startswith("archive_backlog 4 segments > 2 segments (archiving fails, last with 0")
                server.configure({"archive_command": "true"})
                server.reload()
                for each in (daemon, restricted):
                    await until(lambda each=each: each.hold() is None, "the archive has caught up")


async def test_a_signal_can_be_switched_off_and_on_again(database: Any) -> None:
    async with watching(database.dsn, signals=limits("connections", 0.1, 0.2)) as daemon:
        await daemon.held("connections ")
        daemon.set(signals=limits("connections", None))
        await until(lambda: daemon.hold() is None, "no limits")
        daemon.set(signals={source.name: {"enabled": False} for source in SOURCES})
        await until(lambda: daemon.signal("connections") is None, "not watched")
        series = 'signal_value{signal="connections"}'
        await until(lambda: series not in daemon.context.metrics.render()[0].decode(), "its series are gone")
        assert json.dumps(daemon.shown("connections")) == "[]"
