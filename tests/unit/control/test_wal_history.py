"""True lag: now minus the time at which the primary stood where the replica's replay stands."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.control.wal_history import MAX_POINTS, Lag, WalHistory


def written(rate: int, seconds: float, step: float = 0.1) -> WalHistory:
    history = WalHistory()
    for tick in range(int(seconds / step) + 1):
        history.observe(int(rate * tick * step), 1, now=tick * step)
    return history


def test_lag_is_the_age_of_the_replayed_position() -> None:
    history = written(rate=1000, seconds=10)
    lag = history.lag(7000, now=10.0)
    assert lag is not None
    assert lag.seconds == pytest.approx(3.0)
    assert not lag.at_least


def test_an_idle_server_has_no_lag() -> None:
    history = written(rate=1000, seconds=10)
    for tick in range(1000):
        history.observe(10_000, 1, now=10.1 + tick)
    assert history.lag(10_000, now=2000.0) == Lag(0.0)
    assert history.lag(10_001, now=2000.0) == Lag(0.0), "replay was read after the primary"


def test_after_a_pause_of_the_primary_lag_counts_from_the_first_byte_that_is_missing() -> None:
    history = written(rate=1000, seconds=1)
    history.observe(1000, 1, now=100.0)
    history.observe(5000, 1, now=100.1)
    lag = history.lag(1000, now=101.1)
    assert lag is not None
    assert lag.seconds == pytest.approx(1.1)


def test_behind_a_dead_link_lag_grows_second_by_second() -> None:
    history = written(rate=1000, seconds=10)
    for now, expected in ((12.0, 2.5), (15.0, 5.5), (70.0, 60.5)):
        lag = history.lag(9500, now=now)
        assert lag is not None
        assert lag.seconds == pytest.approx(expected)


def test_older_than_the_history_is_at_least_never_zero() -> None:
    history = WalHistory()
    history.observe(1000, 1, now=5.0)
    history.observe(2000, 1, now=6.0)
    assert history.lag(10, now=8.0) == Lag(3.0, at_least=True)


def test_nothing_is_known_without_a_history_or_after_a_change_of_timeline() -> None:
    history = WalHistory()
    assert history.lag(10, now=1.0) is None
    history = written(rate=1000, seconds=10)
    history.observe(20_000, 2, now=10.1)
    lag = history.lag(9000, now=10.2)
    assert lag is not None
    assert lag.seconds == pytest.approx(0.1)
    assert lag.at_least


def test_a_step_back_starts_anew() -> None:
    history = written(rate=1000, seconds=10)
    history.observe(500, None, now=10.1)
    assert history.newest == 500
    assert history.lag(500, now=10.2) == Lag(0.0)


def test_the_rate_is_taken_between_any_two_times() -> None:
    history = written(rate=1000, seconds=10)
    for tick in range(1, 11):
        history.observe(10_000 + 500 * tick, 1, now=10.0 + tick * 0.1)
    assert history.rate_between(10.25, 10.75) == pytest.approx(5000)
    assert history.rate_between(9.5, 10.5) == pytest.approx(3000)
    assert WalHistory().rate_between(0.0, 1.0) is None


def test_an_hour_at_ten_polls_a_second_stays_bounded_and_precise() -> None:
    history = WalHistory()
    for tick in range(36_000):
        history.observe(tick * 100, 1, now=tick * 0.1)
    assert len(history._times) <= MAX_POINTS + 1
    for age in (1.0, 30.0, 600.0, 3000.0):
        lag = history.lag(int((3599.9 - age) * 1000), now=3599.9)
        assert lag is not None
        assert lag.seconds == pytest.approx(age, rel=0.02)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1 << 40), st.sampled_from([1, 1, 1, 2, None])), max_size=50),
    st.integers(0, 1 << 41),
)
def test_lag_is_finite_and_never_negative(points: list[tuple[float, int, int | None]], replayed: int) -> None:
    history, now, lsn = WalHistory(), 0.0, 0
    for seconds, written_bytes, timeline in points:
        now, lsn = now + seconds, lsn + written_bytes
        history.observe(lsn, timeline, now=now)
        lag = history.lag(replayed, now=now)
        assert lag is not None
        assert math.isfinite(lag.seconds)
        assert 0 <= lag.seconds <= now
        assert (lag.seconds == 0) or replayed < lsn
