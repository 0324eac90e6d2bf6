"""Several lanes that are held for one reason are one hold."""

from __future__ import annotations

from typing import Any

from pgbackfill.metrics import Metrics
from pgbackfill.worker.holds import JobHolds

LAG = "replica_lag 6.2s > 5s (b)"
LOCKED = "row_locked by pid 7"


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))


def _gauge(metrics: Metrics, reason: str) -> float | None:
    return metrics.registry.get_sample_value("pgbackfill_hold", {"reason": reason})


def _held_s(metrics: Metrics, reason: str) -> float | None:
    return metrics.registry.get_sample_value("pgbackfill_held_seconds_total", {"reason": reason})


def test_the_first_lane_says_that_the_job_is_held_and_the_last_that_it_goes_on() -> None:
    log, metrics = Log(), Metrics()
    holds = JobHolds("job", metrics)
    for now, lane in enumerate((1, 2, 3)):
        holds.change(lane, LAG, log, now=float(now))
    assert log.lines == [("held", {"reason": LAG})]
    holds.change(1, None, log, now=5.0)
    holds.change(2, None, log, now=6.0)
    assert len(log.lines) == 1
    assert _gauge(metrics, "replica_lag") == 1
    holds.change(3, None, log, now=7.5)
    assert log.lines[1:] == [("hold ended", {"reason": LAG, "held_s": 7.5})]
    assert _gauge(metrics, "replica_lag") == 0


def test_lanes_held_for_different_reasons_are_different_holds() -> None:
    log, metrics = Log(), Metrics()
    holds = JobHolds("job", metrics)
    holds.change(1, LAG, log, now=0.0)
    holds.change(2, LOCKED, log, now=1.0)
    holds.change(2, None, log, now=2.0)
    assert (_gauge(metrics, "replica_lag"), _gauge(metrics, "row_locked")) == (1, 0)
    holds.change(1, None, log, now=3.0)
    assert [(event, values["reason"]) for event, values in log.lines] == [
        ("held", LAG), ("held", LOCKED), ("hold ended", LOCKED), ("hold ended", LAG),
    ]  # fmt: skip


def test_a_lane_that_goes_on_disturbs_no_other() -> None:
    log, metrics = Log(), Metrics()
    holds = JobHolds("job", metrics)
    holds.change(1, LAG, log, now=0.0)
    holds.change(2, None, log, now=1.0)
    assert len(log.lines) == 1
    assert _gauge(metrics, "replica_lag") == 1


def test_a_hold_that_turns_into_another_ends_with_it() -> None:
    log = Log()
    holds = JobHolds("job", Metrics())
    holds.change(1, LAG, log, now=0.0)
    holds.change(1, LOCKED, log, now=4.0)
    holds.reword(1, LOCKED + " and 8")
    holds.change(1, None, log, now=6.0)
    assert log.lines == [
        ("held", {"reason": LAG}),
        ("held", {"reason": LOCKED}),
        ("hold ended", {"reason": LOCKED + " and 8", "held_s": 2.0}),
    ]


def test_time_is_held_once_however_many_lanes_wait() -> None:
    metrics = Metrics()
    holds = JobHolds("job", metrics)
    for lane in (1, 2):
        holds.change(lane, LAG, Log(), now=0.0)
    for lane in (1, 2, 3):
        holds.waited(lane, 2.0)
    assert _held_s(metrics, "replica_lag") == 2
    holds.change(1, None, Log(), now=2.0)
    holds.waited(2, 1.0)
    assert _held_s(metrics, "replica_lag") == 3
