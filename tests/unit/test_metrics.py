"""The names, labels and values that dashboards rely on."""

from __future__ import annotations

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pgbackfill.control.decision import ChunkSample, Outcome
from pgbackfill.metrics import MOST_VALUES, Metrics

CONTRACT = {
    "pgbackfill_rows_scanned_total": (),
    "pgbackfill_rows_changed_total": (),
    "pgbackfill_rows_quarantined_total": (),
    "pgbackfill_chunks_total": ("outcome",),
    "pgbackfill_chunk_duration_seconds_sum": (),
    "pgbackfill_chunk_duration_seconds_count": (),
    "pgbackfill_chunk_duration_seconds_bucket": ("le",),
    "pgbackfill_chunk_rows": (),
    "pgbackfill_sleep_seconds_total": (),
    "pgbackfill_held_seconds_total": ("reason",),
    "pgbackfill_hold": ("reason",),
    "pgbackfill_signal_value": ("signal",),
    "pgbackfill_signal_limit": ("level", "signal"),
    "pgbackfill_signal_age_seconds": ("signal",),
    "pgbackfill_replica_lag_seconds": ("replica",),
    "pgbackfill_replica_backlog_bytes": ("replica",),
    "pgbackfill_pace_wal_bytes_per_second": (),
    "pgbackfill_capacity_wal_bytes_per_second": (),
    "pgbackfill_wal_bytes_total": (),
    "pgbackfill_progress_ratio": ("job",),
    "pgbackfill_eta_seconds": ("bound", "job"),
    "pgbackfill_job_status": ("job", "status"),
    "pgbackfill_retries_total": ("sqlstate",),
    "pgbackfill_notifications_total": ("outcome",),
    "pgbackfill_build_info": ("python", "version"),
}


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.render()[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[f"pgbackfill_{name}", tuple(sorted(labels.items()))]


def chunk(outcome: Outcome = Outcome.COMMITTED) -> ChunkSample:
    return ChunkSample(outcome, rows_asked=10, rows_scanned=9, rows_changed=8, wal_bytes=700, seconds=0.06)


def busy() -> Metrics:
    metrics = Metrics()
    metrics.chunk("users", chunk(), slept_s=0.5)
    metrics.quarantined("users")
    metrics.retry("40P01")
    metrics.hold("users", "replica_lag 6.2s > 5s (b)")
    metrics.held_seconds("replica_lag 6.2s > 5s (b)", 2.0)
    metrics.signal("replica_lag", 6.2, 1.0, 5.0, 0.1)
    metrics.replica("b", 6.2, 1_000)
    metrics.pace(5e6, 1e7)
    metrics.job("users", "running", 0.25, 10.0, 20.0)
    return metrics


def test_names_and_labels_are_the_contract() -> None:
    found = {(name, tuple(key for key, _ in labels)) for name, labels in samples(busy())}
    assert {each for each in found if each[0].startswith("pgbackfill_")} == set(CONTRACT.items())


def test_rows_count_only_where_the_chunk_committed() -> None:
    metrics = Metrics()
    for outcome in Outcome:
        metrics.chunk("users", chunk(outcome), slept_s=0.1)
        assert value(metrics, "chunks_total", outcome=outcome.value) == 1
    assert value(metrics, "rows_scanned_total") == 9
    assert value(metrics, "rows_changed_total") == 8
    assert value(metrics, "wal_bytes_total") == 700 * len(Outcome)
    assert value(metrics, "sleep_seconds_total") == pytest.approx(0.1 * len(Outcome))
    assert value(metrics, "chunk_duration_seconds_bucket", le="0.05") == 0
    assert value(metrics, "chunk_duration_seconds_bucket", le="0.075") == len(Outcome)


def test_a_hold_lasts_as_long_as_some_job_has_it() -> None:
    metrics = Metrics()
    metrics.hold("a", "replica_lag 6s > 5s (b)")
    metrics.hold("b", "replica_lag 7s > 5s (b)")
    metrics.hold("a", None)
    assert value(metrics, "hold", reason="replica_lag") == 1
    metrics.hold("b", "paused by http")
    assert value(metrics, "hold", reason="replica_lag") == 0
    assert value(metrics, "hold", reason="paused") == 1
    metrics.forget("b")
    assert value(metrics, "hold", reason="paused") == 0


def test_a_job_is_held_for_every_reason_of_its_lanes() -> None:
    metrics = Metrics()
    metrics.hold("a", "row_locked by pid 7", "replica_lag 6s > 5s (b)")
    assert value(metrics, "hold", reason="row_locked") == value(metrics, "hold", reason="replica_lag") == 1
    metrics.hold("a", "replica_lag 6s > 5s (b)")
    assert value(metrics, "hold", reason="row_locked") == 0
    assert value(metrics, "hold", reason="replica_lag") == 1
    metrics.hold("a")
    assert value(metrics, "hold", reason="replica_lag") == 0


def test_unknown_is_never_a_healthy_number() -> None:
    metrics = Metrics()
    metrics.signal("replica_lag", None, 1.0, 5.0, None)
    metrics.replica("b", None, None)
    assert math.isnan(value(metrics, "signal_value", signal="replica_lag"))
    assert value(metrics, "signal_age_seconds", signal="replica_lag") == math.inf
    assert math.isnan(value(metrics, "replica_lag_seconds", replica="b"))
    assert math.isnan(value(metrics, "replica_backlog_bytes", replica="b"))
    assert math.isnan(value(metrics, "capacity_wal_bytes_per_second"))


def test_a_job_has_one_status_and_leaves_nothing_behind() -> None:
    metrics = busy()
    metrics.job("users", "succeeded", 1.0, None, None)
    assert value(metrics, "job_status", job="users", status="succeeded") == 1
    assert value(metrics, "job_status", job="users", status="running") == 0
    metrics.forget("users")
    assert b'job="users"' not in metrics.render()[0]


def test_a_replica_or_signal_that_is_taken_away_leaves_nothing_behind() -> None:
    metrics = busy()
    metrics.forget_replica("b")
    metrics.forget_signal("replica_lag")
    text = metrics.render()[0]
    assert b"replica=" not in text
    assert b"signal=" not in text


def test_labels_stay_bounded_and_make_room_again() -> None:
    metrics = Metrics()
    for number in range(MOST_VALUES + 50):
        metrics.job(f"job-{number}", "running", 0.0, None, None)
        metrics.retry(f"{number:05}")
    assert len([key for key in samples(metrics) if key[0] == "pgbackfill_progress_ratio"]) == MOST_VALUES
    assert len([key for key in samples(metrics) if key[0] == "pgbackfill_retries_total"]) == MOST_VALUES + 1
    assert value(metrics, "retries_total", sqlstate="other") == 50
    metrics.forget("job-0")
    metrics.job("late", "running", 0.5, None, None)
    assert value(metrics, "progress_ratio", job="late") == 0.5
