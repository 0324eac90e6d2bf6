"""HTTP of a daemon that works."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from support.receiver import SECRET_PATH, receiving

# Those of the contract, as a scraper knows them: counters without `_total`.
NAMES = {
    "rows_scanned", "rows_changed", "rows_quarantined", "chunks", "chunk_duration_seconds", "chunk_rows",
    "sleep_seconds", "held_seconds", "hold", "signal_value", "signal_limit", "signal_age_seconds",
    "replica_lag_seconds", "replica_backlog_bytes", "pace_wal_bytes_per_second", "capacity_wal_bytes_per_second",
    "wal_bytes", "progress_ratio", "eta_seconds", "job_status", "retries", "build_info",
}  # fmt: skip


async def test_metrics_have_every_name_and_count_the_work(paired_site: Any) -> None:
    site = paired_site
    await site.table("users", 1000)
    await site.enqueue("counted", "users")
    daemon = await site.running(http__enabled="true", http__port=0)
    await site.reaches("counted", "succeeded")
    status, text = await daemon.get("/metrics")
    assert status == 200
    families = {family.name.removeprefix("pgbackfill_") for family in text_string_to_metric_families(text)}
    assert families >= NAMES
    metrics = await daemon.metrics()
    assert metrics["pgbackfill_rows_scanned_total"] == metrics["pgbackfill_rows_changed_total"] == 1000
    chunks = await site.connection.fetchval("SELECT sum(chunk_no) FROM pgbackfill.ranges")
    assert metrics['pgbackfill_chunks_total{outcome="committed"}'] == chunks
    assert metrics["pgbackfill_chunk_duration_seconds_count"] >= chunks
    assert metrics["pgbackfill_wal_bytes_total"] > 1000


async def test_a_finished_job_is_shown_and_then_forgotten(site: Any, until: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0, metrics_retention_s=0)

    async def shown() -> bool:
        metrics = await daemon.metrics()
        ratio = metrics.get('pgbackfill_progress_ratio{job="long"}', 0)
        return 0 < ratio < 1 and metrics['pgbackfill_job_status{job="long",status="running"}'] == 1

    async def forgotten() -> bool:
        status, text = await daemon.get("/metrics")
        return status == 200 and 'job="long"' not in text

    await until(shown, "series of a running job")
    await site.hurry("long")
    await site.reaches("long", "succeeded")
    await until(forgotten, "series of a finished job are removed")


async def test_a_deleted_job_is_forgotten(site: Any, until: Any) -> None:
    await site.table("users", 10)
    await site.enqueue("short", "users", desired_state="pause")
    daemon = await site.running(http__enabled="true", http__port=0)

    async def has_series(wanted: bool) -> bool:
        status, text = await daemon.get("/metrics")
        return status == 200 and ('job="short"' in text) is wanted

    await until(lambda: has_series(True), "series of a paused job")
    await site.connection.execute("DELETE FROM pgbackfill.jobs")
    await until(lambda: has_series(False), "series of a deleted job are removed")


async def test_health_and_the_json_interface(site: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0)
    await site.chunks("long")
    assert (await daemon.get("/healthz"))[0] == 200
    assert (await daemon.get("/readyz"))[0] == 200
    status, text = await daemon.get("/api/v1/jobs")
    assert status == 200
    (job,) = json.loads(text)["jobs"]
    assert (job["name"], job["status"], job["desired_state"]) == ("long", "running", "run")
    status, text = await daemon.get("/api/v1/jobs/long")
    one = json.loads(text)
    assert one["ranges"][0]["chunk_no"] > 0
    assert "token" not in text
    assert (await daemon.get("/api/v1/jobs/nobody"))[0] == 404
    assert (await daemon.post("/api/v1/jobs/long/retry"))[0] == 409
    assert json.loads((await daemon.get("/api/v1/signals"))[1])["signals"] is not None
    assert (await daemon.post("/api/v1/pause", origin="https://elsewhere.example"))[0] == 403
    assert json.loads((await daemon.get("/api/v1"))[1])["paused_by"] == []
    await site.connection.execute("DELETE FROM pgbackfill.schema_version WHERE version = 1")
    assert (await daemon.get("/readyz"))[0] == 503


async def test_a_token_is_asked_for_and_never_shown(site: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0, http__token="hidden-word")
    await site.chunks("long")
    assert (await daemon.post("/api/v1/jobs/long/pause"))[0] == 401
    assert (await site.progress("long"))["desired_state"] == "run"
    assert (await daemon.post("/api/v1/jobs/long/pause", authorization="Bearer hidden-word"))[0] == 200
    await site.reaches("long", "paused")
    assert "hidden-word" not in daemon.text


async def test_the_last_hour_of_a_job_is_kept_and_its_pause_shows(site: Any, until: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0)
    assert (await daemon.get("/api/v1/jobs/nobody/history"))[0] == 404

    async def history() -> dict[str, Any]:
        status, text = await daemon.get("/api/v1/jobs/long/history")
        points: dict[str, Any] = json.loads(text)["points"] if status == 200 else {"at": [], "hold": []}
        return points

    async def rates() -> list[float]:
        return [rate for rate in (await history())["rows_per_second"] if rate]

    async def paused() -> bool:
        return "paused" in (await history())["hold"]

    async def begun() -> bool:
        return len((await history())["at"]) > 0

    await until(begun, "the first point")
    assert len(await until(rates, "a point with rows")) > 0
    await site.want("long", "pause")
    await until(paused, "a point of the pause")
    answer = json.loads((await daemon.get("/api/v1/jobs/long/history"))[1])
    assert answer["limits"]["lag_s"] == {"soft": 1, "hard": 5}
    assert len({len(series) for series in answer["points"].values()}) == 1
    latest = answer["points"]["at"][-1]
    newer = json.loads((await daemon.get(f"/api/v1/jobs/long/history?since={latest}"))[1])["points"]["at"]
    assert all(at > latest for at in newer)


async def test_what_the_daemon_sees_stands_in_its_row(paired_site: Any) -> None:
    await paired_site.running()
    await paired_site.true(
        "SELECT s ->> 'level' = 'ok' AND (s ->> 'hard')::float = 5 FROM pgbackfill.workers AS w"
        " CROSS JOIN jsonb_array_elements(w.signals) AS s"
        " WHERE s ->> 'name' = 'replica_lag' AND s ->> 'detail' = 'standby'"
    )


async def test_the_end_of_the_last_job_is_told_before_the_process_ends(site: Any) -> None:
    await site.table("users", 100)
    await site.enqueue("short", "users")
    with receiving() as receiver:
        daemon = site.daemon("--drain", webhook__url=receiver.url)
        assert await daemon.ended() == 0
        assert [(told["event"], told["job"], told["rows_changed"]) for told in receiver.told] == [
            ("finished", "short", 100)
        ]
    assert SECRET_PATH not in daemon.text
