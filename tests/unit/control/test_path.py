"""The pace that one replica allows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.control.flow import FLOOR_BYTES_PER_S, Flow
from pgbackfill.control.path import GAIN_MAX, Path

TARGET, SOFT = 0.2, 1.0
MB = 1e6


class Driven:
    """A path polled every 0.1 s."""

    def __init__(self) -> None:
        self.path, self.now = Path(), 0.0

    def poll(self, seconds: float, *, lag: float, drain: float, own: float, total: float | None = None) -> None:
        for _ in range(round(seconds / 0.1)):
            self.now += 0.1
            whole = own if total is None else total
            flow = Flow(lag, int(lag * drain), drain, whole, own, own)
            self.path.poll(flow, target_s=TARGET, soft_s=SOFT, now=self.now)

    @property
    def pace(self) -> float:
        return self.path.pace(target_s=TARGET, soft_s=SOFT)


def test_without_a_queue_the_pace_doubles_every_quarter_second() -> None:
    driven = Driven()
    driven.poll(0.1, lag=0.0, drain=MB, own=MB)
    before = driven.pace
    for _ in range(5):
        driven.poll(0.1, lag=0.0, drain=driven.pace, own=driven.pace)
    assert driven.pace / before == pytest.approx(4.0, rel=0.1)


def test_a_standing_queue_shows_the_capacity() -> None:
    driven = Driven()
    driven.poll(5, lag=TARGET, drain=18 * MB, own=18 * MB)
    assert driven.path.capacity == pytest.approx(18 * MB, rel=0.01)
    assert driven.pace == pytest.approx(18 * MB, rel=0.1)


def test_the_pace_is_our_share_of_what_drains() -> None:
    driven = Driven()
    driven.poll(5, lag=TARGET, drain=18 * MB, own=6 * MB, total=18 * MB)
    assert driven.path.base == pytest.approx(6 * MB, rel=0.02)


@pytest.mark.parametrize(
    ("lag", "low", "high"), [(0.3, 0.7, 0.8), (0.4, 0.45, 0.55), (0.6, 0.1, 0.15), (1.2, 0.1, 0.15)]
)
def test_a_longer_queue_lowers_the_pace(lag: float, low: float, high: float) -> None:
    driven = Driven()
    driven.poll(5, lag=TARGET, drain=18 * MB, own=18 * MB)
    base = driven.path.base
    driven.poll(0.1, lag=lag, drain=18 * MB, own=18 * MB)
    assert low * base <= driven.pace <= high * base + 0.03 * 18 * MB


def test_a_replica_that_stands_still_teaches_nothing_about_its_capacity() -> None:
    driven = Driven()
    driven.poll(5, lag=TARGET, drain=18 * MB, own=18 * MB)
    for tick in range(100):
        driven.now += 0.1
        flow = Flow(0.2 + tick * 0.1, 4_000_000, 0.0, 0.0, 0.0, 0.0)
        driven.path.poll(flow, target_s=TARGET, soft_s=SOFT, now=driven.now)
    assert driven.path.capacity == pytest.approx(18 * MB, rel=0.01)
    assert driven.path.base == pytest.approx(18 * MB, rel=0.01)


def test_after_a_hold_the_pace_starts_at_what_the_catching_up_showed() -> None:
    driven = Driven()
    driven.poll(5, lag=TARGET, drain=18 * MB, own=18 * MB)
    driven.poll(3, lag=3.0, drain=9 * MB, own=0.0, total=MB)
    assert driven.path.base == pytest.approx(8 * MB, rel=0.05)


def test_a_job_that_is_itself_the_bottleneck_stores_up_no_speed() -> None:
    driven = Driven()
    driven.poll(60, lag=0.0, drain=3 * MB, own=3 * MB)
    assert driven.pace <= GAIN_MAX * 2.1 * 3 * MB


def test_while_nothing_of_ours_flows_nothing_is_forgotten() -> None:
    driven = Driven()
    driven.poll(5, lag=TARGET, drain=18 * MB, own=18 * MB)
    base = driven.path.base
    driven.poll(600, lag=0.0, drain=0.0, own=0.0)
    assert driven.path.base == base


def test_the_floor_is_a_tenth_of_a_slow_path() -> None:
    driven = Driven()
    assert driven.path.floor == FLOOR_BYTES_PER_S
    driven.poll(10, lag=TARGET, drain=2 * MB, own=2 * MB)
    assert driven.path.floor == pytest.approx(0.2 * MB, rel=0.05)


flows = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.floats(0, 1e5),
        st.integers(0, 1 << 45),
        st.one_of(st.none(), st.floats(0, 1e12)),
        st.floats(0, 1e12),
        st.floats(0, 1),
        st.floats(0.01, 3600),
    ),
    max_size=40,
)


@given(flows)
def test_any_polls_give_a_finite_pace_above_the_floor(
    polls: list[tuple[float, float, int, float | None, float, float, float]],
) -> None:
    path, now = Path(), 0.0
    for seconds, lag, backlog, drain, total, share, target in polls:
        now += seconds
        flow = Flow(lag, backlog, drain, total, share * total, share * total)
        path.poll(flow, target_s=target, soft_s=5 * target, now=now)
        pace = path.pace(target_s=target, soft_s=5 * target)
        path.poll(flow, target_s=target, soft_s=5 * target, now=now)
        assert path.pace(target_s=target, soft_s=5 * target) == pace
        assert math.isfinite(pace)
        assert pace >= path.floor > 0
