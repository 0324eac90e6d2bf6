"""The functions that people call, the states that follow, and the progress view."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

PROGRESS_COLUMNS = [
    "name", "status", "desired_state", "percent", "rows_scanned", "rows_changed", "rows_estimated",
    "rows_quarantined", "rows_per_second", "chunk_rows", "chunk_ms", "sleep_ms", "eta_low", "eta_high", "hold_reason",
    "hold_since", "worker", "started_at", "finished_at", "throttle_ratio", "throttle_until", "pause_until",
    "step", "step_percent",
]  # fmt: skip


async def _status(shop: Any) -> tuple[str, str]:
    return tuple(await shop.connection.fetchrow("SELECT status, desired_state FROM pgbackfill.jobs"))


async def _call(shop: Any, function: str) -> str:
    return str(await shop.connection.fetchval(f"SELECT pgbackfill.{function}('job')"))


async def test_enqueue_takes_every_column_by_name_and_gives_the_id_twice(shop: Any) -> None:
    call = """
        SELECT pgbackfill.enqueue('job', 'users', operation => 'update', set_clause => 'n = o.total',
            from_clause => 'orders AS o', where_clause => 'o.user_id = t.id', key_columns => '{id}', from_key => '{1}',
            to_key => '{9}', session_settings => '{"work_mem": "1MB"}', options => '{"duty_max": 0.5}', priority => 2,
            run_after => '2030-01-01', desired_state => 'pause', params => '{}', statement => NULL,
            target_table => NULL, handler => NULL)
    """
    first = await shop.connection.fetchval(call)
    assert await shop.connection.fetchval(call) == first
    job = await shop.connection.fetchrow("SELECT * FROM pgbackfill.jobs")
    assert (job["id"], job["from_key"], job["priority"], job["status"]) == (first, ["1"], 2, "paused")


async def test_a_job_that_nobody_works_on_moves_at_once(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    assert await _call(shop, "pause") == "paused"
    assert await _status(shop) == ("paused", "pause")
    assert await _call(shop, "resume") == "queued"
    assert await _call(shop, "cancel") == "cancelled"
    assert await shop.connection.fetchval("SELECT finished_at IS NOT NULL FROM pgbackfill.jobs")
    assert await _call(shop, "cancel") == "cancelled"
    with pytest.raises(asyncpg.PostgresError, match=r"has been cancelled; retry it with SELECT pgbackfill\.retry"):
        await _call(shop, "resume")
    assert await _call(shop, "retry") == "queued"
    assert await _status(shop) == ("queued", "run")
    assert await shop.connection.fetchval("SELECT finished_at IS NULL FROM pgbackfill.jobs")


async def test_a_running_job_keeps_its_status_until_its_daemon_settles_it(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'running', started_at = now()")
    assert await _call(shop, "pause") == "running"
    assert await _status(shop) == ("running", "pause")
    assert await _call(shop, "cancel") == "running"
    assert await _call(shop, "resume") == "running"
    with pytest.raises(asyncpg.PostgresError, match='job "job" is running; only a failed or cancelled'):
        await _call(shop, "retry")


async def test_retry_keeps_what_was_done(shop: Any) -> None:
    job = await shop.insert(set_clause="n = 1")
    await shop.connection.execute(
        """
        UPDATE pgbackfill.jobs SET status = 'running', started_at = now(), prepared_at = now();
        INSERT INTO pgbackfill.ranges (job_id, ordinal, relation, upper_key, cursor_key, rows_scanned)
            SELECT id, 1, relation, '{9}', '{4}', 4 FROM pgbackfill.jobs;
        INSERT INTO pgbackfill.quarantine (job_id, range_id, key, sqlstate, message)
            SELECT job_id, id, '{3}', '23505', 'twice' FROM pgbackfill.ranges;
        UPDATE pgbackfill.jobs SET status = 'failed', error = 'too many', finished_at = now()
        """
    )
    with pytest.raises(asyncpg.PostgresError, match='job "job" has failed; retry it with'):
        await _call(shop, "pause")
    with pytest.raises(asyncpg.PostgresError, match='job "job" has failed; retry it with'):
        await _call(shop, "resume")
    assert await _call(shop, "retry") == "queued"
    after = await shop.connection.fetchrow("SELECT * FROM pgbackfill.jobs")
    assert (after["error"], after["finished_at"], after["id"]) == (None, None, job["id"])
    assert (after["started_at"], after["prepared_at"]) != (None, None)
    assert await shop.connection.fetchval("SELECT cursor_key FROM pgbackfill.ranges") == ["4"]
    assert await shop.connection.fetchval("SELECT count(*) FROM pgbackfill.quarantine") == 1


async def test_a_later_migration_can_depend_on_a_job(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    with pytest.raises(asyncpg.PostgresError, match=r'job "job" has not succeeded yet: it is queued at 0 %'):
        await _call(shop, "assert_finished")
    await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'running'")
    await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'succeeded', finished_at = now()")
    await _call(shop, "assert_finished")
    with pytest.raises(asyncpg.PostgresError, match="nothing left to do"):
        await _call(shop, "pause")


@pytest.mark.parametrize("function", ["pause", "resume", "cancel", "retry", "assert_finished"])
async def test_an_unknown_job_is_named(shop: Any, function: str) -> None:
    with pytest.raises(asyncpg.NoDataFoundError, match='there is no job named "job"'):
        await _call(shop, function)


async def _progress(shop: Any) -> asyncpg.Record:
    record = await shop.connection.fetchrow("SELECT * FROM pgbackfill.progress")
    assert isinstance(record, asyncpg.Record)
    return record


async def test_progress_of_a_job_that_waits(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    progress = await _progress(shop)
    assert list(progress.keys()) == PROGRESS_COLUMNS
    assert (progress["percent"], progress["rows_scanned"], progress["rows_estimated"]) == (0, 0, 0)
    assert (progress["rows_per_second"], progress["eta_low"], progress["worker"]) == (None, None, None)
    await shop.connection.execute("UPDATE pgbackfill.jobs SET wait_reason = 'old transaction', wait_since = now()")
    progress = await _progress(shop)
    assert progress["hold_reason"] == "old transaction"
    assert progress["hold_since"] is not None


async def test_progress_of_several_lanes(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    await shop.connection.execute(
        """
        UPDATE pgbackfill.jobs SET status = 'running', started_at = clock_timestamp() - interval '100 s';
        INSERT INTO pgbackfill.workers (hostname, pid, version) VALUES ('box', 42, '0'), ('box', 43, '0');
        INSERT INTO pgbackfill.ranges (job_id, ordinal, relation, rows_estimated, rows_scanned, rows_changed, active_ms,
                lease_until, worker_id, rows_per_second, chunk_rows)
            SELECT j.id, w.id, j.relation, 1000, 500, 500, 10000, clock_timestamp() + interval '1 minute', w.id,
                50 * w.id, 100 * w.id
            FROM pgbackfill.jobs j, pgbackfill.workers w
        """
    )
    progress = await _progress(shop)
    assert (progress["percent"], progress["rows_per_second"], progress["chunk_rows"]) == (50, 150, 200)
    assert progress["worker"] == "box:42, box:43"
    assert progress["eta_low"] == timedelta(seconds=10)  # 1000 rows, of which two lanes did 500 each in 10 s
    held = "UPDATE pgbackfill.ranges SET hold_reason = 'row_locked by pid 7', hold_since = now() WHERE ordinal = $1"
    await shop.connection.execute(held, 1)
    progress = await _progress(shop)
    assert progress["hold_reason"] == "row_locked by pid 7"
    assert progress["eta_low"] is not None  # the other lane goes on
    await shop.connection.execute(held, 2)
    assert (await _progress(shop))["eta_low"] is None


async def test_progress_of_a_running_job(shop: Any) -> None:
    await shop.insert(set_clause="n = 1")
    await shop.connection.execute(
        """
        UPDATE pgbackfill.jobs SET status = 'running', started_at = clock_timestamp() - interval '100 s';
        INSERT INTO pgbackfill.workers (hostname, pid, version) VALUES ('box', 42, '0');
        INSERT INTO pgbackfill.ranges (job_id, ordinal, relation, status, rows_estimated, rows_scanned, rows_changed,
                active_ms, lease_until, worker_id, rows_per_second, chunk_rows, chunk_ms, sleep_ms)
            SELECT j.id, n, j.relation, CASE n WHEN 1 THEN 'done' ELSE 'open' END, 1000, 500, 400, 10000,
                clock_timestamp() + interval '1 minute', w.id, 50, 100, 90, 10
            FROM pgbackfill.jobs j, pgbackfill.workers w, generate_series(1, 2) AS n
        """
    )
    progress = await _progress(shop)
    # 1000 of 1000 + 500 rows: the first range turned out smaller than it was estimated.
    assert (progress["percent"], progress["rows_scanned"], progress["rows_changed"]) == (66.66, 1000, 800)
    assert (progress["rows_estimated"], progress["rows_per_second"], progress["worker"]) == (2000, 50, "box:42")
    assert (progress["chunk_rows"], progress["chunk_ms"], progress["sleep_ms"]) == (100, 90, 10)
    assert progress["eta_low"] == timedelta(seconds=10)  # 500 rows at 1000 rows in 20 s of chunks
    assert progress["eta_high"] >= timedelta(seconds=50)  # and at 1000 rows in 100 s

    await shop.connection.execute("UPDATE pgbackfill.ranges SET rows_scanned = 5000 WHERE ordinal = 2")
    assert (await _progress(shop))["percent"] == 99.99
    await shop.connection.execute(
        "UPDATE pgbackfill.ranges SET hold_reason = 'replica_lag 6.2s > 5s (b)', hold_since = now() WHERE ordinal = 2"
    )
    held = await _progress(shop)
    assert (held["hold_reason"], held["eta_low"], held["eta_high"]) == ("replica_lag 6.2s > 5s (b)", None, None)
    await shop.connection.execute("UPDATE pgbackfill.ranges SET lease_until = now() - interval '1 s'")
    assert (await _progress(shop))["worker"] is None
    await shop.connection.execute("UPDATE pgbackfill.jobs SET status = 'succeeded'")
    finished = await _progress(shop)
    assert (finished["percent"], finished["hold_reason"], finished["rows_per_second"]) == (100, None, None)
