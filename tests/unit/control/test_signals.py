"""A signal that cannot be read is unknown, never healthy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.control.holds import Latch, exceeded, quantity, unknown
from pgbackfill.control.signals import HOLD_AFTER_UNKNOWN_S, Freshness, Level, Limits, Reading, Signal


def test_level_follows_the_two_limits() -> None:
    limits = Limits(1, 5)
    assert [limits.level(value) for value in (0.5, 1.0, 1.5, 5.0, 6.0)] == [
        Level.OK,
        Level.OK,
        Level.SOFT,
        Level.SOFT,
        Level.HARD,
    ]


def test_limits_in_reverse_order_mean_that_small_values_are_bad() -> None:
    limits = Limits(soft=40, hard=10)
    assert [limits.level(value) for value in (50.0, 20.0, 5.0)] == [Level.OK, Level.SOFT, Level.HARD]


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_missing_value_is_unknown_at_once_and_holds_after_ten_seconds(value: float | None) -> None:
    signal = Signal("x", now=0.0)
    signal.observe(Reading("x", 0.1, at=0.0), Limits(1, 5))
    assert signal.level(0.5) is Level.OK
    signal.observe(Reading("x", value, at=0.6), Limits(1, 5))
    assert signal.level(0.6) is Level.UNKNOWN
    assert not signal.fresh.must_hold(HOLD_AFTER_UNKNOWN_S - 0.1)
    assert signal.fresh.must_hold(HOLD_AFTER_UNKNOWN_S)


def test_a_reading_goes_stale_by_its_own_interval() -> None:
    fast, slow = Freshness(now=0.0), Freshness(now=0.0)
    fast.reading(good=True, at=0.0, interval=0.25)
    slow.reading(good=True, at=0.0, interval=30.0)
    assert fast.unknown_for(0.9) is None
    assert fast.unknown_for(1.1) == 1.1
    assert slow.unknown_for(74.0) is None
    assert slow.unknown_for(76.0) == 76.0
    assert not slow.must_hold(74.0)


def test_a_signal_that_was_never_read_is_unknown_from_the_start() -> None:
    assert Signal("x", now=3.0).level(3.0) is Level.UNKNOWN
    assert Freshness(now=3.0).must_hold(13.0)


def test_a_hold_ends_only_after_a_while_below_the_soft_limit() -> None:
    latch = Latch(release_after_s=0.5)
    assert latch.update(Level.HARD, now=1.0)
    assert latch.update(Level.SOFT, now=2.0)
    assert latch.update(Level.OK, now=3.0)
    assert latch.update(Level.SOFT, now=3.4), "back above the soft limit: the while starts anew"
    assert latch.update(Level.OK, now=3.5)
    assert latch.update(Level.OK, now=3.9)
    assert latch.since == 1.0
    assert not latch.update(Level.OK, now=4.0)
    assert not latch.update(Level.SOFT, now=4.1)


@given(st.lists(st.tuples(st.sampled_from(Level), st.floats(0, 5)), max_size=30))
def test_asking_a_latch_again_at_the_same_time_changes_nothing(steps: list[tuple[Level, float]]) -> None:
    latch, now = Latch(), 0.0
    for level, seconds in steps:
        now += seconds
        first = latch.update(level, now=now), latch.since
        assert (latch.update(level, now=now), latch.since) == first


def test_reasons_have_one_grammar() -> None:
    limits = Limits(1, 5)
    assert exceeded("replica_lag", 6.23, limits, "s", "replica-b") == "replica_lag 6.2s > 5s (replica-b)"
    assert exceeded("replica_lag", 3.0, limits, "s", "b") == "replica_lag 3s > 1s (b)"
    assert exceeded("disk_free", 5 << 30, Limits(40 << 30, 10 << 30), "B", "") == "disk_free 5GiB < 10GiB"
    assert unknown("replica_lag", 12.3, "replica-b") == "replica_lag unknown for 12s (replica-b)"
    assert quantity(0.153, "s") == "0.15s"


@pytest.mark.parametrize(
    ("value", "limits", "unit", "reason"),
    [
        (1.004, Limits(0.5, 1), "s", "x 1.004s > 1s"),
        (1.2, Limits(0.5, 1), "s", "x 1.2s > 1s"),
        (10.4, Limits(5, 10.3), "s", "x 10.4s > 10.3s"),
        (0.01002, Limits(0.005, 0.01), "s", "x 0.01002s > 0.01s"),
        (43.0, Limits(20, 42), " segments", "x 43 segments > 42 segments"),
        ((1 << 30) + (1 << 20), Limits(1, 1 << 30), "B", "x 1.001GiB > 1GiB"),
        ((1 << 20) - 1, Limits(2 << 20, 1 << 20), "B", "x 1023.999KiB < 1MiB"),
        (100.0, Limits(50, 99), "%", "x 100% > 99%"),
    ],
)
def test_the_printed_value_visibly_exceeds_the_printed_limit(
    value: float, limits: Limits, unit: str, reason: str
) -> None:
    assert exceeded("x", value, limits, unit, "") == reason


@given(st.floats(1e-6, 1e15), st.floats(1e-12, 10), st.sampled_from(["s", "B", "%"]))
def test_no_reason_contradicts_itself(hard: float, above: float, unit: str) -> None:
    value = hard * (1 + above)
    if value > hard:
        words = exceeded("x", value, Limits(hard / 2, hard), unit, "").split(" ")
        assert words[1] != words[3]
