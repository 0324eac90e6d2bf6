"""What `pgbackfill watch` makes of the rows that it reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pgbackfill.screen.keys import SEQUENCE
from pgbackfill.screen.trace import Trace, worst

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
ROW: dict[str, Any] = {
    "name": "users", "status": "running", "percent": 12.5, "rows_scanned": 100, "rows_estimated": 800,
    "rows_quarantined": 0, "rows_per_second": 50.0, "chunk_rows": 10, "chunk_ms": 4.0, "sleep_ms": 1.0,
    "eta_low": timedelta(seconds=8), "eta_high": timedelta(seconds=12), "hold_reason": None, "hold_since": None,
    "started_at": NOW - timedelta(seconds=90), "finished_at": None,
}  # fmt: skip


def signal(value: float | None, level: str = "ok", name: str = "replica_lag") -> dict[str, Any]:
    return {"name": name, "about": "b", "value": value, "unit": "s", "soft": 1.0, "hard": 5.0, "level": level}


def test_a_frame_has_the_newest_look_and_what_led_to_it() -> None:
    trace = Trace()
    trace.add(ROW, [signal(0.2), signal(0.01, name="canary_read")])
    held = ROW | {"hold_reason": "replica_lag 6.2s > 5s (b)", "hold_since": NOW - timedelta(seconds=3)}
    trace.add(held, [signal(6.2, "hard"), signal(0.02, name="canary_read")])
    frame = trace.snapshot(NOW, ["a note"], ["a key"])
    gauges = {gauge.label: gauge for gauge in frame.gauges}
    assert (frame.elapsed_s, frame.job.held_s, frame.job.eta_low_s) == (90, 3, 8)
    assert gauges["rows/s"].history == [50.0, 0.0]
    assert (gauges["replica lag"].history, gauges["replica lag"].hard) == ([0.2, 6.2], 5.0)
    assert gauges["read latency"].history == [10.0, 20.0]
    assert "write latency" not in gauges


def test_what_is_not_running_makes_no_rows_and_who_may_not_see_signals_sees_none() -> None:
    trace = Trace()
    trace.add(ROW | {"status": "paused"}, None)
    assert {gauge.label: gauge.value for gauge in trace.snapshot(NOW, [], []).gauges} == dict.fromkeys(
        ("rows/s", "chunk rows", "chunk time", "sleep")
    )


def test_an_unknown_replica_is_worse_than_any_lag() -> None:
    unknown = signal(0.1, "unknown")
    assert worst([signal(9.0, "hard"), unknown], "replica_lag") == unknown
    assert worst([signal(1.0), signal(3.0)], "replica_lag") == signal(3.0)
    assert worst([], "replica_lag") is None


def test_a_cursor_key_is_no_command() -> None:
    assert SEQUENCE.sub("", "\x1b[A\x1bOPp\x1b[15~q\x1b") == "pq"
