"""Run or wait: limits honoured, holds explained, held time counted nowhere."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.control.controller import Controller
from pgbackfill.control.decision import ChunkSample, Outcome, RunChunk, Wait
from pgbackfill.control.governor import Governor
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.signals import Limits, Reading

ROW_S, ROW_WAL = 4e-6, 800


class Lane:
    """One lane on a table whose rows cost `ROW_S` and `ROW_WAL`."""

    def __init__(self, options: PacingOptions, governor: Governor | None = None, outside_s: float = 0.0) -> None:
        self.outside_s = outside_s
        self.governor = governor or Governor(options)
        self.controller = Controller(self.governor, options)
        self.now = 0.0
        self.rows = 0
        self.wal = 0
        self.busy = 0.0

    def reason(self) -> str | None:
        return self.controller.hold.reason if self.controller.hold else None

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            decision = self.controller.next(now=self.now)
            if isinstance(decision, Wait):
                assert decision.seconds > 0
                self.now += decision.seconds
                continue
            spent = 0.001 + decision.rows * ROW_S
            self.now += spent + self.outside_s
            self.busy += spent
            self.rows += decision.rows
            self.wal += decision.rows * ROW_WAL
            self.controller.finished(
                ChunkSample(
                    Outcome.COMMITTED,
                    decision.rows,
                    decision.rows,
                    decision.rows,
                    decision.rows * ROW_WAL,
                    spent,
                    outside_s=self.outside_s,
                ),
                now=self.now,
            )


def test_without_limits_it_runs_flat_out() -> None:
    lane = Lane(PacingOptions())
    lane.run(10)
    assert lane.busy == pytest.approx(lane.now)
    assert lane.controller.sleep_seconds == 0


@pytest.mark.parametrize("duty", [0.05, 0.5, 0.9])
def test_duty_max_is_honoured(duty: float) -> None:
    lane = Lane(PacingOptions(duty_max=duty))
    lane.run(60)
    assert lane.busy / lane.now == pytest.approx(duty, rel=0.03)


@pytest.mark.parametrize("limit", [5, 1000, 100_000])
def test_max_rows_per_s_is_honoured(limit: int) -> None:
    lane = Lane(PacingOptions(max_rows_per_s=limit))
    lane.run(60)
    assert lane.rows / lane.now == pytest.approx(limit, rel=0.03)


@pytest.mark.parametrize("limit", [100_000, 5_000_000, 50_000_000])
def test_max_wal_bytes_per_s_is_honoured(limit: int) -> None:
    lane = Lane(PacingOptions(max_wal_bytes_per_s=limit))
    lane.run(60)
    assert lane.wal / lane.now == pytest.approx(limit, rel=0.03)


def test_the_limits_of_a_job_are_divided_by_its_lanes() -> None:
    lane = Lane(PacingOptions(max_rows_per_s=1000))
    lane.controller.set_lanes(4)
    lane.run(60)
    assert lane.rows / lane.now == pytest.approx(250, rel=0.03)


def test_a_small_limit_gives_small_chunks_not_long_gaps() -> None:
    lane = Lane(PacingOptions(max_rows_per_s=100))
    lane.run(30)
    assert lane.controller.rows <= 100
    assert lane.controller.sleep_seconds <= 1.1


def test_a_hold_gives_its_reason_and_costs_the_job_nothing() -> None:
    options = PacingOptions()
    lane = Lane(options)
    lane.run(5)
    rows = lane.controller.rows
    lane.governor.observe(Reading("archive_backlog", 57.0, at=lane.now, interval=60), Limits(20, 42), now=lane.now)
    decision = lane.controller.next(now=lane.now)
    assert isinstance(decision, Wait)
    assert decision.reason == "archive_backlog 57s > 42s"
    lane.run(5)
    hold = lane.controller.hold
    assert hold is not None
    assert hold.since == pytest.approx(5, abs=0.2)
    lane.governor.observe(Reading("archive_backlog", 1.0, at=lane.now, interval=60), Limits(20, 42), now=lane.now)
    lane.run(2)
    assert lane.reason() is None
    assert lane.controller.rows == rows
    assert lane.controller.sleep_seconds == 0, "held time is not sleep"


def test_options_act_from_the_next_decision_on() -> None:
    lane = Lane(PacingOptions())
    lane.run(5)
    lane.controller.update(PacingOptions(chunk_max_rows=100))
    assert lane.controller.next(now=lane.now) == RunChunk(100)
    lane.controller.update(PacingOptions(max_rows_per_s=10))
    assert lane.controller.next(now=lane.now) == RunChunk(10)


def test_lanes_share_a_governor_and_not_each_other() -> None:
    governor = Governor(PacingOptions())
    one, other = Lane(PacingOptions(), governor), Lane(PacingOptions(duty_max=0.1), governor)
    one.run(10)
    other.run(10)
    assert one.busy == pytest.approx(one.now)
    assert other.busy / other.now == pytest.approx(0.1, rel=0.1)


events = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.sampled_from(Outcome),
        st.integers(0, 1 << 33),
        st.floats(0, 100),
        st.one_of(st.none(), st.floats(0, 100)),
    ),
    max_size=40,
)
options = st.builds(
    PacingOptions,
    duty_max=st.floats(0.001, 1),
    max_rows_per_s=st.one_of(st.none(), st.integers(1, 1_000_000)),
    max_wal_bytes_per_s=st.one_of(st.none(), st.integers(1, 1 << 40)),
)


@given(options, events)
def test_any_history_gives_the_same_finite_decision_twice(
    chosen: PacingOptions, history: list[tuple[float, Outcome, int, float, float | None]]
) -> None:
    governor = Governor(chosen)
    controller, now = Controller(governor, chosen), 0.0
    for seconds, outcome, wal, spent, value in history:
        now += seconds
        governor.observe(Reading("x", value, at=now), Limits(1, 50), now=now)
        decision = controller.next(now=now)
        assert controller.next(now=now) == decision
        if isinstance(decision, RunChunk):
            assert 1 <= decision.rows <= chosen.chunk_max_rows
            now += spent
            controller.finished(ChunkSample(outcome, decision.rows, decision.rows, decision.rows, wal, spent), now=now)
        else:
            assert math.isfinite(decision.seconds)
            assert 0 < decision.seconds <= 1
            assert controller.sleep_seconds >= 0


@pytest.mark.parametrize("options", [{}, {"duty_max": 0.4}, {"max_rows_per_s": 20_000}, {"max_wal_bytes_per_s": 10**7}])
@pytest.mark.parametrize("ratio", [0.5, 0.1])
def test_a_throttled_job_makes_its_share_of_the_rows(options: dict[str, float], ratio: float) -> None:
    full, throttled = Lane(PacingOptions(**options)), Lane(PacingOptions(**options))
    throttled.controller.throttle(ratio)
    for lane in (full, throttled):
        lane.run(300)
    assert throttled.rows == pytest.approx(ratio * full.rows, rel=0.05)


def test_the_end_of_a_throttle_ends_the_sleep_that_it_began() -> None:
    lane = Lane(PacingOptions())
    lane.run(5)
    lane.controller.throttle(0.001)
    assert isinstance(lane.controller.next(now=lane.now), Wait)
    lane.controller.throttle(1.0)
    assert isinstance(lane.controller.next(now=lane.now), RunChunk)


def test_time_spent_outside_pays_for_a_limit_on_rows() -> None:
    lane = Lane(PacingOptions(max_rows_per_s=100), outside_s=0.5)
    lane.run(60)
    assert lane.rows / lane.now == pytest.approx(100, rel=0.1)


def test_time_spent_outside_is_no_slow_chunk_and_no_busy_server() -> None:
    usual, computing = (Lane(PacingOptions(duty_max=0.5), outside_s=outside_s) for outside_s in (0.0, 2.0))
    usual.run(60)
    computing.run(60)
    assert computing.controller.rows == usual.controller.rows
    before = computing.busy
    computing.run(60)
    chunk_s = 0.001 + computing.controller.rows * ROW_S
    assert (computing.busy - before) / 60 == pytest.approx(chunk_s / (2 * chunk_s + 2.0), rel=0.1)


def test_a_throttle_stretches_the_time_outside_as_well() -> None:
    full, half = (Lane(PacingOptions(chunk_max_rows=500), outside_s=0.5) for _ in range(2))
    half.controller.throttle(0.5)
    full.run(60)
    half.run(60)
    assert half.rows / full.rows == pytest.approx(0.5, rel=0.05)
