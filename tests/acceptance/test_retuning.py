"""Options, throttles and pauses with an end, told to a daemon at work. What is seen is waited for, never timed."""

from __future__ import annotations

import json
import signal
from typing import Any

import asyncpg
import pytest

# In `slow_job`, 10 rows at 300 rows a second are a chunk every 33 ms.
FULL_SLEEP_MS = 60
THROTTLED_SLEEP_MS = 100


async def retune(site: Any, name: str, **options: object) -> None:
    await site.connection.execute(
        "UPDATE pgbackfill.jobs SET options = options || $2::jsonb WHERE name = $1", name, json.dumps(options)
    )


async def shows(site: Any, name: str, condition: str) -> None:
    await site.true(f"SELECT {condition} FROM pgbackfill.progress WHERE name = $1", name)


async def test_options_act_on_a_running_job(site: Any) -> None:
    await site.slow_job("long", "users", 100_000)
    daemon = await site.running()
    await shows(site, "long", "chunk_rows = 10")
    await retune(site, "long", chunk_max_rows=25)
    await shows(site, "long", "chunk_rows = 25")
    await retune(site, "long", chunk_max_rows=10, max_rows_per_s=50)
    await shows(site, "long", f"chunk_rows = 10 AND sleep_ms > {THROTTLED_SLEEP_MS}")
    await retune(site, "long", max_rows_per_s=300)
    await shows(site, "long", f"sleep_ms < {FULL_SLEEP_MS}")
    await retune(site, "long", max_wal_bytes_per_s=8192)
    await shows(site, "long", f"sleep_ms > {THROTTLED_SLEEP_MS}")
    await retune(site, "long", max_wal_bytes_per_s=None, duty_max=0.01)
    await shows(site, "long", "sleep_ms BETWEEN 50 * chunk_ms AND 200 * chunk_ms")
    await retune(site, "long", duty_max=1, chunk_min_rows=40, chunk_max_rows=40, max_rows_per_s=300)
    await shows(site, "long", "chunk_rows = 40")
    assert len(daemon.events("options changed")) >= 5
    with pytest.raises(asyncpg.InvalidParameterValueError, match="duty_max must be above 0 and at most 1"):
        await retune(site, "long", duty_max=2)
    with pytest.raises(asyncpg.InvalidParameterValueError, match="the nearest is chunk_max_rows"):
        await retune(site, "long", chunk_max_row=2)
    await site.want("long", "cancel")
    await site.reaches("long", "cancelled")


async def test_a_throttle_acts_on_a_running_job_and_ends_by_itself(site: Any) -> None:
    await site.slow_job("long", "users", 100_000)
    daemon = await site.running(http__enabled="true", http__port=0)
    await shows(site, "long", f"sleep_ms < {FULL_SLEEP_MS}")
    done = await site.cli("throttle", "long", "--ratio", "0.1", "--for", "1h", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["throttle_ratio"] == 0.1
    await shows(site, "long", f"sleep_ms > {THROTTLED_SLEEP_MS}")
    await daemon.logged("throttled", job="long", ratio=0.1)
    done = await site.cli("throttle", "--off")
    assert done.stdout == "No job of this database is throttled any more (1 throttle ended).\n"
    await shows(site, "long", f"sleep_ms < {FULL_SLEEP_MS}")
    await daemon.logged("throttle ended", job="long")
    assert len(daemon.events("throttled")) == 1

    status, shown = await daemon.post_json("/api/v1/throttle", {"ratio": 0.1, "for": "1h"})
    assert (status, shown["throttle_ratio"]) == (200, 0.1)
    await shows(site, "long", f"sleep_ms > {THROTTLED_SLEEP_MS}")
    status, shown = await daemon.post_json("/api/v1/throttle", {"ratio": 0.2, "for": "1s"})
    await daemon.logged("throttle ended", by="http", reason="the time was over")
    await shows(site, "long", f"sleep_ms < {FULL_SLEEP_MS}")

    await site.connection.fetchval("SELECT pgbackfill.throttle(NULL, 0.1, '1 hour')")
    await shows(site, "long", f"sleep_ms > {THROTTLED_SLEEP_MS}")
    await site.connection.execute("UPDATE pgbackfill.throttles SET ends_at = clock_timestamp()")
    await shows(site, "long", f"sleep_ms < {FULL_SLEEP_MS} AND throttle_ratio IS NULL")
    await site.want("long", "cancel")
    await site.reaches("long", "cancelled")


async def test_a_throttle_is_seen_in_the_metrics(site: Any, until: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0)
    await site.chunks("long")

    async def shown(ratio: float) -> bool:
        return bool((await daemon.metrics()).get('pgbackfill_throttle_ratio{job="long"}') == ratio)

    await until(lambda: shown(1.0), "not throttled")
    await daemon.post_json("/api/v1/jobs/long/throttle", {"ratio": 0.5, "for": "1h"})
    await until(lambda: shown(0.5), "throttled")


async def test_pauses_end_when_their_time_is_over(site: Any) -> None:
    await site.slow_job("long", "users")
    daemon = await site.running(http__enabled="true", http__port=0)
    await site.chunks("long")
    done = await site.cli("pause", "long", "--for", "1h")
    assert done.returncode == 0, done.stderr
    paused = await site.reaches("long", "paused")
    assert paused["pause_until"] is not None
    stood = (await site.range("long"))["chunk_no"]
    await site.connection.execute("UPDATE pgbackfill.jobs SET pause_until = clock_timestamp()")
    await site.chunks("long", stood)
    await daemon.logged("job resumed", job="long")

    assert (await daemon.post_json("/api/v1/pause", {"for": "1s"}))[0] == 200
    await daemon.logged("resumed", by="http", reason="the time was over")
    await site.chunks("long", (await site.range("long"))["chunk_no"])


async def test_sighup_says_what_acts_now_and_what_needs_a_restart(site: Any) -> None:
    config = site.folder / "pgbackfill.toml"
    config.write_text("lag_hard_s = 9\n", encoding="utf-8")
    daemon = await site.running("--config", str(config))
    config.write_text('lag_hard_s = 7\nconnect_timeout_s = 3\n[log]\nlevel = "debug"\n', encoding="utf-8")
    daemon.send(signal.SIGHUP)
    told = await daemon.logged("settings re-read")
    assert (told["act_now"], told["next_connection"]) == (["lag_hard_s"], ["connect_timeout_s"])
    assert told["need_restart"] == ["log"]
