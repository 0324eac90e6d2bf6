"""Replicas as the primary sees them and as they answer themselves: each trap that makes a bad one look healthy."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

import anyio
import asyncpg
import pytest
from support.watching import Watching, until, watching

from pgbackfill.database.migrate import migrate
from pgbackfill.embedded import Binaries, Link, Server
from pgbackfill.worker.probes.names import Names, Walsender

pytestmark = pytest.mark.newest


@contextlib.asynccontextmanager
async def replay_paused(standby: Any) -> AsyncIterator[None]:
    connection = await asyncpg.connect(standby.dsn())
    try:
        await connection.execute("SELECT pg_wal_replay_pause()")
        yield
    finally:
        await connection.execute("SELECT pg_wal_replay_resume()")
        await connection.close()


async def lag_is_small(daemon: Watching, name: str = "standby") -> None:
    await until(lambda: (lag := daemon.replicas().get(name)) is not None and lag < 1, f"{name} is near")


async def write(pair: Any) -> None:
    """Some WAL, so that whoever does not replay falls behind."""
    connection = await pair.database.connect()
    await connection.execute("CREATE TABLE IF NOT EXISTS filler AS SELECT generate_series(1, 1000) AS n")
    await connection.execute("UPDATE filler SET n = n + 1")


async def test_an_idle_standby_has_no_lag_and_one_that_does_not_replay_has(pair: Any) -> None:
    async with watching(pair.database.dsn, lag_soft_s=0.5, lag_hard_s=1) as daemon:
        await lag_is_small(daemon)
        async with replay_paused(pair.standby):
            await write(pair)
            assert (await daemon.held("replica_lag ")).endswith("> 1s (standby)")
        await until(lambda: daemon.hold() is None, "the hold ends")


async def test_a_link_that_stopped_is_lag_although_the_view_reports_none() -> None:
    with Server.create(Binaries.find(18), {"fsync": "off"}) as primary:
        link = Link(primary.port)
        async with anyio.create_task_group() as group:
            await group.start(link.run)
            start = functools.partial(Server.standby, primary, "far", conninfo_port=link.port)
            standby = await anyio.to_thread.run_sync(start)
            connection = await asyncpg.connect(primary.dsn())
            try:
                await migrate(connection)
                async with watching(primary.dsn(), lag_soft_s=0.5, lag_hard_s=1) as daemon:
                    await lag_is_small(daemon, "far")
                    link.rate = 0
                    await connection.execute("SELECT pg_logical_emit_message(true, 'x', repeat('x', 5000000))")
                    assert (await daemon.held("replica_lag ")).endswith("> 1s (far)")
                    view = await connection.fetchrow("SELECT state, replay_lag FROM pg_stat_replication")
                    assert view["state"] == "streaming", "it looks as if nothing were wrong"
                    assert view["replay_lag"] is None or view["replay_lag"].total_seconds() < 0.5
                    link.rate = None
                    await until(lambda: daemon.hold() is None, "the link is back")
            finally:
                connection.terminate()
                await anyio.to_thread.run_sync(standby.remove)
            group.cancel_scope.cancel()


async def test_a_replica_that_is_seen_both_ways_is_one(pair: Any) -> None:
    dsn = pair.standby.dsn(pair.database.name)
    async with watching(pair.database.dsn, replica_dsns=[dsn], lag_soft_s=0.5, lag_hard_s=1) as daemon:
        await until(lambda: daemon.context.topology.asked == {"standby"}, "it has the name that the primary knows")
        await lag_is_small(daemon)
        assert list(daemon.replicas()) == ["standby"]
        async with replay_paused(pair.standby):
            await write(pair)
            assert (await daemon.held("replica_lag ")).endswith("> 1s (standby)")
            assert list(daemon.replicas()) == ["standby"]
        await until(lambda: daemon.hold() is None, "the hold ends")
        # Taken out of the settings, the primary's word counts again.
        daemon.set(replica_dsns=[])
        await until(lambda: daemon.context.topology.asked == set(), "it is asked no longer")
        await lag_is_small(daemon)


async def test_a_replica_asked_by_a_login_without_rights_is_matched_all_the_same(pair: Any) -> None:
    user = (await pair.database.login()).split("//")[1].split(":")[0]
    dsn = pair.standby.dsn(pair.database.name, user=user)
    async with watching(pair.database.dsn, replica_dsns=[dsn]) as daemon:
        await until(lambda: daemon.context.topology.asked == {"standby"}, "by its address")
        await lag_is_small(daemon)


async def test_the_heartbeat_alone_shows_the_lag_of_a_replica(pair: Any) -> None:
    dsn = pair.standby.dsn(pair.database.name)
    async with watching(pair.database.dsn, replica_dsns=[dsn]) as daemon:
        await until(lambda: daemon.context.topology.asked == {"standby"}, "the database is there, too")
        replica = await pair.database.connect(dsn)
        beat_of = "SELECT heartbeat_at FROM pgbackfill.workers WHERE id = $1"
        beats, worker = daemon.context.beats, daemon.context.worker_id

        async def lag() -> float | None:
            return beats.lag(await replica.fetchval(beat_of, worker), now=daemon.context.now())

        async def is_near() -> bool:
            return (found := await lag()) is not None and found < 0.5

        async def is_far() -> bool:
            return (found := await lag()) is not None and found > 1

        await until(is_near, "idle, it is near")
        async with replay_paused(pair.standby):
            await until(is_far, "it falls behind")
        await until(is_near, "it catches up")


async def test_a_replica_that_cannot_be_reached_is_unknown_and_then_holds(pair: Any) -> None:
    link = Link(pair.standby.port)
    async with anyio.create_task_group() as group:
        await group.start(link.run)
        dsn = f"postgresql://postgres@127.0.0.1:{link.port}/{pair.database.name}"
        async with watching(pair.database.dsn, replica_dsns=[dsn], connect_timeout_s=1) as daemon:
            await until(lambda: daemon.context.topology.asked == {"standby"}, "it is asked")
            await lag_is_small(daemon)
            link.cut()
            # The primary still sees it stream; who asks for it to be asked wants to know that it answers.
            shown = await daemon.noted("replica_lag", "standby: ")
            assert shown["level"] == "unknown"
            assert (await daemon.held("replica_lag unknown for ")).endswith("(standby)")
        group.cancel_scope.cancel()


async def test_the_standby_of_another_cluster_and_a_primary_are_refused(pair: Any) -> None:
    with Server.create(Binaries.find(18)) as stranger:
        dsns = [stranger.dsn(), pair.database.dsn]
        async with watching(pair.database.dsn, replica_dsns=dsns) as daemon:
            shown = await daemon.noted("replica_lag", "belongs to another cluster")
            assert shown["level"] == "unknown"
            assert "give PGBACKFILL_REPLICA_DSNS a standby of this primary." in shown["detail"]
            await daemon.noted("replica_lag", "is not a standby; take it out of PGBACKFILL_REPLICA_DSNS.")
            await daemon.held("replica_lag unknown for ")
            daemon.set(replica_dsns=[])
            await until(lambda: daemon.hold() is None, "nothing is unknown any more")


async def test_a_delayed_replica_is_judged_by_what_it_has_received(own_pair: Any) -> None:
    pair = own_pair
    pair.standby.configure({"recovery_min_apply_delay": "1h"})
    pair.standby.reload()
    dsn = pair.standby.dsn()
    async with watching(pair.database.dsn, lag_soft_s=0.5, lag_hard_s=1) as daemon:
        await lag_is_small(daemon)
        await write(pair)
        await daemon.held("replica_lag ")
        daemon.set(delayed_replicas=["standby"])
        await until(lambda: daemon.hold() is None, "the primary's word")
        await lag_is_small(daemon)
        daemon.set(delayed_replicas=["standby"], replica_dsns=[dsn])
        await until(lambda: daemon.context.topology.asked == {"standby"}, "its own word")
        await write(pair)
        await lag_is_small(daemon)
        assert daemon.hold() is None


async def test_a_backup_a_receiver_and_a_subscriber_are_no_replicas(pair: Any) -> None:
    connection = await pair.database.connect()
    user, port = pair.primary.user, str(pair.primary.port)
    binaries = pair.primary.binaries
    await connection.execute("SELECT pg_create_logical_replication_slot('subscriber', 'pgoutput')")
    await connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    common = ["-h", "127.0.0.1", "-p", port, "-U", user]
    commands = [
        [binaries["pg_receivewal"], *common, "-D", pair.primary.folder / "received", "--no-sync"],
        # As a backup tool does it, whose name says nothing.
        [
            binaries["pg_receivewal"], "-d", f"host=127.0.0.1 port={port} user={user} application_name=barman",
            "-D", pair.primary.folder / "barman", "--no-sync",
        ],
        [
            binaries["pg_recvlogical"], *common, "-d", pair.database.name, "-S", "subscriber", "--start",
            "-f", "/dev/null", "-o", "proto_version=1", "-o", "publication_names=everything",
        ],
    ]  # fmt: skip
    for folder in ("received", "barman"):
        (pair.primary.folder / folder).mkdir(exist_ok=True)
        (pair.primary.folder / folder).chmod(0o777)
    processes = [pair.primary._scratch.spawn(command, cwd=pair.primary.folder) for command in commands]
    try:
        async with watching(pair.database.dsn) as daemon:
            await until(
                lambda: connection.fetchval("SELECT count(*) = 4 FROM pg_stat_replication WHERE state = 'streaming'"),
                "all of them stream",
            )
            await lag_is_small(daemon)
            assert list(daemon.replicas()) == ["standby"]
            assert daemon.hold() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()
        await until(
            lambda: connection.fetchval("SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'subscriber'"),
            "the slot is free",
        )
        await connection.execute("SELECT pg_drop_replication_slot('subscriber')")


async def test_without_rights_replicas_are_unknown_and_the_grant_is_named(pair: Any) -> None:
    dsn = await pair.database.login("pgbackfill_daemon")
    user = dsn.split("//")[1].split(":")[0]
    async with watching(dsn) as daemon:
        shown = await daemon.noted("replica_lag", f"GRANT pg_monitor TO {user}")
        assert shown["level"] == "unknown"
        # Optional signals are left out, and say so.
        for name in ("oldest_transaction", "autovacuum"):
            shown = await daemon.noted(name, f"GRANT pg_monitor TO {user}")
            assert shown["level"] == "absent"
        connection = await pair.database.connect()
        await connection.execute(f"GRANT pg_monitor TO {user}")
        await lag_is_small(daemon)
        await daemon.known("oldest_transaction")
        assert daemon.shown("oldest_transaction")[0]["level"] == "ok"


async def test_a_replica_that_is_down_when_work_begins_is_expected_by_its_slot(own_pair: Any) -> None:
    pair = own_pair
    connection = await pair.database.connect()
    pair.standby.stop()
    await until(lambda: connection.fetchval("SELECT NOT active FROM pg_replication_slots"), "the slot is inactive")
    async with watching(pair.database.dsn) as daemon:
        await daemon.known("canary_read")
        assert daemon.replicas() == {}, "nobody works yet, so nobody is missed"
        daemon.context.jobs = {1: _Job()}
        shown = await daemon.noted("replica_lag", "start its replica, drop it, or put it into ignored_slots")
        assert shown["level"] == "unknown"
        assert (await daemon.held("replica_lag unknown for ")).endswith("(standby)")
        pair.standby.start()
        await lag_is_small(daemon)
        await until(lambda: daemon.hold() is None, "it is back")
        assert daemon.shown("replica_lag")[0]["detail"] == "standby"
        # Gone again, and this time for good.
        pair.standby.stop()
        await daemon.held("replica_lag unknown for ")
        await connection.execute("SELECT pg_drop_replication_slot('standby')")
        await until(lambda: daemon.hold() is None, "dropping the slot says so")
        assert daemon.replicas() == {}


async def test_an_ignored_slot_is_nobodys(database: Any) -> None:
    connection = await database.connect()
    await connection.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        async with watching(database.dsn, ignored_slots=["forgotten"]) as daemon:
            daemon.context.jobs = {1: _Job()}
            assert (await daemon.known("slot_retained")).detail == ""
            assert daemon.replicas() == {}
    finally:
        await connection.execute("SELECT pg_drop_replication_slot('forgotten')")


async def test_expected_replicas_are_read_again(pair: Any) -> None:
    async with watching(pair.database.dsn) as daemon:
        await lag_is_small(daemon)
        daemon.set(expected_replicas=["standby", "replica-b"])
        assert (await daemon.held("replica_lag unknown for ")).endswith("(replica-b)")
        daemon.set(expected_replicas=[])
        await until(lambda: list(daemon.replicas()) == ["standby"], "it is not expected any more")
        await until(lambda: daemon.hold() is None, "the hold ends")


def sender(pid: int, name: str, slot: str | None = None, address: str | None = None) -> Walsender:
    return Walsender(pid, name, slot, address, "streaming", 1, 1)


def test_names_are_stable_and_never_shared() -> None:
    names = Names()
    assert list(names.assign([sender(1, "a", "slot_a")], [])) == ["a"]
    assert list(names.assign([sender(1, "a", "slot_a")], ["slot_a"])) == ["slot_a"]
    unnamed = [sender(1, "walreceiver", None, "10.0.0.1"), sender(2, "walreceiver", "s", "10.0.0.2")]
    assert list(names.assign(unnamed, [])) == ["10.0.0.1", "s"]
    twins = [sender(1, "b", None, "10.0.0.1"), sender(2, "b", None, "10.0.0.2"), sender(3, "b", None, "10.0.0.2")]
    assert list(names.assign(twins, [])) == ["b/10.0.0.1", "b/10.0.0.2", "b/10.0.0.2/pid 3"]
    assert list(names.assign(twins[:1], [])) == ["b/10.0.0.1"], "not b, which was somebody else a moment ago"
    assert list(names.shared) == ["b"]


class _Job:
    """A job that is running, as far as signals look at it."""

    relation = 0
