"""The heartbeat: liveness, and how long one write and one read take."""

from __future__ import annotations

from typing import Any

import anyio
from support.watching import until, watching

from pgbackfill.control.latency import LEARN_S
from pgbackfill.database.queries import load
from pgbackfill.worker.heartbeat import FIRST_BEATS


async def test_both_canaries_are_measured_from_the_start_against_their_own_baseline(database: Any) -> None:
    async with watching(database.dsn) as daemon:
        write, read = await daemon.known("canary_write"), await daemon.known("canary_read")
        for canary in (write, read):
            assert canary.value is not None
            assert canary.soft is not None
            assert canary.hard is not None
            assert 0 < canary.value < 5
            # The slack: 2 ms above a baseline of a fraction of one are no reason to slow down, 10 ms none to hold.
            assert canary.soft >= 0.002
            assert canary.hard >= 0.010
            assert canary.hard >= canary.soft, "the same while nobody else queries"
        connection = await database.connect()
        first = await connection.fetchval("SELECT heartbeat_at FROM pgbackfill.workers")
        await until(
            lambda: connection.fetchval("SELECT heartbeat_at > $1 FROM pgbackfill.workers", first), "it goes on beating"
        )


async def test_a_slow_commit_is_seen_by_the_write_canary_alone(database: Any) -> None:
    connection = await database.connect()
    async with watching(database.dsn, latency_slack_ms=20) as daemon:
        write, read = await daemon.known("canary_write"), await daemon.known("canary_read")
        await anyio.sleep(1.5 * LEARN_S)  # until then what is slow would be taken for usual
        await connection.execute("""
            CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
                AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON pgbackfill.workers DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION slow()
        """)
        reason = await daemon.held("canary_write ")
        assert " > " in reason
        await until(lambda: (value := (daemon.signal("canary_write") or write).value) and value >= 0.3, "its length")
        assert (write.value or 0) < 0.3
        assert (daemon.signal("canary_read") or read).level == "ok"
        await connection.execute("DROP TRIGGER slow ON pgbackfill.workers")
        await until(lambda: daemon.hold() is None, "the hold ends")


async def test_a_canary_that_may_not_write_is_unknown_and_then_holds(database: Any) -> None:
    connection = await database.connect()
    async with watching(database.dsn) as daemon:
        await daemon.known("canary_write")
        await connection.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'pgbackfill/canary' AND datname = current_database()"
        )
        shown = await daemon.noted("canary_write", "read-only transaction")
        assert shown["level"] == "unknown"
        assert (await daemon.held("canary_write unknown for ")).endswith("s")
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f"ALTER DATABASE {database.name} RESET default_transaction_read_only")
        await daemon.known("canary_write")
        await until(lambda: daemon.hold() is None, "the hold ends")


async def test_a_beat_that_is_blocked_counts_as_slow_and_not_as_nothing(database: Any) -> None:
    connection = await database.connect()
    async with watching(database.dsn, latency_slack_ms=20) as daemon:
        await daemon.known("canary_write")
        async with connection.transaction():
            await connection.execute("SELECT FROM pgbackfill.workers FOR UPDATE")
            assert "unknown" not in await daemon.held("canary_write ")
        await until(lambda: daemon.hold() is None, "the hold ends")


async def test_latency_slows_down_only_while_somebody_else_queries(own_pair: Any) -> None:
    database = own_pair.database  # on a server of its own: whoever queries anywhere on it is somebody
    async with watching(database.dsn) as daemon:
        connection = await database.connect()

        def limits() -> tuple[float, float]:
            signal = daemon.signal("canary_read")
            assert signal is not None
            return signal.soft, signal.hard

        async def busy() -> bool:
            await connection.fetchval("SELECT 1")
            soft, hard = limits()
            return soft < hard

        await daemon.known("canary_read")
        await until(busy, "a soft limit of its own while others query")
        await until(lambda: (found := limits()) and found[0] == found[1], "none once they are quiet, connected or not")
        await until(busy, "and again")


async def test_canaries_sing_more_often_at_first_and_while_chunks_run(database: Any, monkeypatch: Any) -> None:
    async with watching(database.dsn) as daemon:
        await daemon.known("canary_read")
        governor, sung, beats = daemon.context.governor, [], []
        observe, look = governor.observe_latency, governor.observe_others
        monkeypatch.setattr(
            governor, "observe_latency", lambda name, *a, **kw: (sung.append(name), observe(name, *a, **kw))
        )
        monkeypatch.setattr(governor, "observe_others", lambda present: (beats.append(present), look(present)))
        await until(lambda: len(beats) > FIRST_BEATS, "the beats that learn the baseline")
        assert len(sung) > 2 * (len(beats) + 1)
        sung.clear()
        beats.clear()
        await until(lambda: len(beats) >= 3, "some beats without a lane")
        assert len(sung) <= 2 * (len(beats) + 1), "one write and one read a beat"
        monkeypatch.setitem(daemon.context.lanes, 1, object())
        await until(lambda: len(sung) > 2 * (len(beats) + 1) + 6, "more than that")


async def test_a_session_that_the_login_may_not_see_is_somebody(own_pair: Any) -> None:
    connection = await own_pair.database.connect()
    asks = load("workers")["others_query"]
    await connection.execute("CREATE ROLE blind")
    other = await own_pair.database.connect()

    async def quiet() -> bool:
        return not await connection.fetchval(asks, 0.0)

    await until(quiet, "it is idle, and seen to be")
    await connection.execute("SET ROLE blind")
    assert await connection.fetchval(asks, 0.0)
    await connection.execute("RESET ROLE")
    await other.execute("SELECT 1")
    assert await connection.fetchval(asks, 60.0)


async def test_a_pruned_worker_registers_again(database: Any) -> None:
    connection = await database.connect()
    async with watching(database.dsn):
        await connection.execute("DELETE FROM pgbackfill.workers")
        await until(lambda: connection.fetchval("SELECT count(*) = 1 FROM pgbackfill.workers"), "the row is back")
