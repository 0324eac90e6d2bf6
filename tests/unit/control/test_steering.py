"""Signals that are not queues, canaries, and the arithmetic of what was spent."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.control.aimd import SPEED_MIN, Aimd
from pgbackfill.control.bucket import Bucket
from pgbackfill.control.governor import Governor
from pgbackfill.control.latency import CHUNK_SHARE_MIN, Latency, chunk_share, speed_share
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.signals import Level, Limits, Reading
from pgbackfill.control.usage import Usage

LIMITS = Limits(10, 20)
OPTIONS = PacingOptions()


def steer(aimd: Aimd, value: float, seconds: float, now: float, *, achieved: float = 1.0) -> float:
    for _ in range(round(seconds / 0.1)):
        now += 0.1
        aimd.update(LIMITS.level(value), value, LIMITS, achieved=min(achieved, aimd.speed), now=now)
    return now


def test_above_the_soft_limit_the_speed_falls_below_it_rises_again() -> None:
    aimd = Aimd()
    now = steer(aimd, 18, 2, 0.0)
    slow = aimd.speed
    assert slow < 0.3
    now = steer(aimd, 1, 5, now)
    assert aimd.speed > slow + 0.3
    steer(aimd, 1, 20, now)
    assert aimd.speed == 1.0


def test_a_signal_that_stays_high_without_us_costs_nothing() -> None:
    aimd = Aimd()
    now = steer(aimd, 5, 1, 0.0)
    steer(aimd, 18, 60, now, achieved=0.0)
    assert aimd.speed == 1.0


def test_what_led_to_a_hold_is_halved_once() -> None:
    aimd = Aimd()
    now = steer(aimd, 5, 1, 0.0)
    aimd.update(Level.HARD, 30, LIMITS, achieved=1.0, now=now + 0.1)
    assert aimd.speed == 0.5
    steer(aimd, 30, 60, now + 0.1, achieved=0.0)
    assert aimd.speed == 0.5


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(-1e9, 1e9), st.sampled_from(Level), st.floats(0, 1), st.booleans()),
        max_size=30,
    )
)
def test_the_speed_stays_within_its_bounds(steps: list[tuple[float, float, Level, float, bool]]) -> None:
    aimd, now = Aimd(), 0.0
    for seconds, value, level, achieved, low_is_bad in steps:
        now += seconds
        limits = Limits(20, 10) if low_is_bad else LIMITS
        speed = aimd.update(level, value, limits, achieved=achieved, now=now)
        assert SPEED_MIN <= speed <= 1.0


def test_latency_has_limits_above_its_own_baseline() -> None:
    latency = Latency("canary_read", now=0.0)
    assert latency.limits(OPTIONS) is None
    for tick in range(50):
        latency.observe(0.001, busy_share=0.0, now=tick * 0.1, interval=0.1)
    limits = latency.limits(OPTIONS)
    assert limits is not None
    assert limits.soft == pytest.approx(0.003), "the slack of 2 ms, not the ratio, on a fast server"
    assert limits.hard == pytest.approx(0.011), "five times the slack: one stall is no reason to hold"
    alone = latency.limits(OPTIONS, alone=True)
    assert alone == Limits(limits.hard, limits.hard), "nobody to slow down for; a server in trouble still holds"
    slow = Latency("canary_read", now=0.0)
    slow.observe(0.1, busy_share=0.0, now=0.1, interval=0.1)
    limits = slow.limits(OPTIONS)
    assert limits is not None
    assert limits.soft == pytest.approx(0.15)
    assert limits.hard == pytest.approx(0.3)


def test_the_baseline_rises_only_while_we_are_idle() -> None:
    busy, idle = Latency("a", now=0.0), Latency("b", now=0.0)
    for latency, share in ((busy, 1.0), (idle, 0.0)):
        latency.observe(0.001, busy_share=share, now=0.1, interval=0.1)
        for tick in range(600):
            latency.observe(0.010, busy_share=share, now=0.2 + tick * 0.1, interval=0.1)
    assert busy.baseline_s == pytest.approx(0.001)
    assert idle.baseline_s is not None
    assert idle.baseline_s > 0.008


def test_one_slow_query_is_not_a_latency() -> None:
    latency = Latency("a", now=0.0)
    for tick in range(20):
        latency.observe(0.5 if tick == 15 else 0.001, busy_share=0.5, now=tick * 0.1, interval=0.1)
    assert latency.value_s == pytest.approx(0.001)


def test_chunks_shrink_before_the_speed_falls() -> None:
    assert (chunk_share(1.0), speed_share(1.0)) == (1.0, 1.0)
    assert chunk_share(0.75) == pytest.approx(math.sqrt(CHUNK_SHARE_MIN))
    assert speed_share(0.75) == 1.0
    assert chunk_share(0.5) == pytest.approx(CHUNK_SHARE_MIN)
    assert speed_share(0.5) == 1.0
    assert chunk_share(0.25) == pytest.approx(CHUNK_SHARE_MIN)
    assert speed_share(0.25) == 0.5


def test_latency_shrinks_the_chunks_of_a_running_job() -> None:
    governor, now = Governor(OPTIONS), 0.0
    for tick in range(38):
        now = tick * 0.1
        governor.observe_latency("canary_read", 0.001 if tick < 20 else 0.006, now=now, interval=0.1)
        if tick >= 20:
            governor.spent(1000, 0.1, OPTIONS, now=now)
        governor.caps(OPTIONS, now=now)
    assert governor.caps(OPTIONS, now=now).time_ratio < 0.5
    assert governor.speed(OPTIONS, now=now) == 1.0


def test_a_latency_that_jitters_below_its_limit_slows_nothing_down() -> None:
    governor, now = Governor(OPTIONS), 0.0
    rng = random.Random(4)
    for tick in range(600):
        now = tick * 0.25
        busy = now > 5
        # 1 ms, then 2.2 beside chunks, under a limit of 3: a trend of single queries would often point beyond it.
        seconds = (0.0022 if busy else 0.001) * rng.lognormvariate(0.0, 0.5)
        governor.observe_latency("canary_read", seconds, now=now, interval=0.25)
        if busy:
            governor.spent(1000, 0.24, OPTIONS, now=now)
        assert governor.speed(OPTIONS, now=now) == 1.0


def test_a_latency_that_lies_at_its_limit_slows_nothing_down_until_it_is_clearly_beyond() -> None:
    aimd, now = Aimd(lead_s=0.0, band=0.2), 0.0
    rng = random.Random(7)
    for _ in range(600):
        now += 0.25
        value = 10 + rng.uniform(-1.9, 1.9)
        aimd.update(LIMITS.level(value), value, LIMITS, achieved=1.0, now=now)
        assert aimd.speed == 1.0
    now = steer(aimd, 12.5, 1.0, now)
    clearly = aimd.speed
    assert clearly < 0.8
    now = steer(aimd, 11, 1.0, now)
    assert aimd.speed < clearly, "once it falls, it falls until the latency is back at its limit"
    now = steer(aimd, 10, 1.0, now)
    back = aimd.speed
    now = steer(aimd, 11, 10.0, now)
    assert aimd.speed == back, "between the two it stays as it is"
    steer(aimd, 5, 1.0, now)
    assert aimd.speed > back


def test_the_first_query_alone_is_not_the_baseline() -> None:
    latency = Latency("a", now=0.0)
    for tick, seconds in enumerate([0.004, 0.001, 0.002, 0.002, 0.001, 0.002, 0.001, 0.001]):
        latency.observe(seconds, busy_share=0.0, now=tick * 0.25, interval=0.25)
    assert latency.baseline_s == pytest.approx(0.01 / 7)  # without the largest
    latency.observe(0.010, busy_share=0.5, now=2.25, interval=0.25)
    latency.observe(0.010, busy_share=0.0, now=2.5, interval=0.25)
    assert latency.baseline_s == pytest.approx(0.01 / 7, rel=0.1), "learned, it follows slowly"


def test_the_baseline_is_the_mean_of_the_first_two_seconds_not_of_the_last_one() -> None:
    latency = Latency("a", now=0.0)
    for tick in range(20):
        latency.observe(0.001 if tick < 10 else 0.003, busy_share=0.0, now=tick * 0.1, interval=0.1)
    assert latency.baseline_s == pytest.approx((10 * 0.001 + 9 * 0.003) / 19)
    assert latency.value_s == pytest.approx(0.003, rel=0.1)


def test_a_latency_that_rises_is_the_mean_within_a_second() -> None:
    latency = Latency("a", now=0.0)
    for tick in range(31):
        latency.observe(0.001 if tick < 20 else 0.006, busy_share=0.9, now=tick * 0.1, interval=0.1)
    assert latency.value_s == pytest.approx(0.006)


def test_nothing_is_learned_at_once_while_chunks_run() -> None:
    latency = Latency("a", now=0.0)
    latency.observe(0.001, busy_share=0.0, now=0.0, interval=0.25)
    for tick in range(1, 9):
        latency.observe(0.004, busy_share=0.9 if tick < 3 else 0.0, now=tick * 0.25, interval=0.25)
    assert latency.baseline_s == pytest.approx(0.001, rel=0.3)


def test_latency_that_nobody_else_feels_slows_nothing_down_but_still_holds() -> None:
    governor, now = Governor(OPTIONS), 0.0
    governor.observe_others(False)
    for tick in range(35):
        now = tick * 0.1
        governor.observe_latency("canary_read", 0.001 if tick < 20 else 0.009, now=now, interval=0.1)
        governor.spent(1000, 0.1, OPTIONS, now=now)
        governor.caps(OPTIONS, now=now)
    assert governor.caps(OPTIONS, now=now).time_ratio > 0.95, "but for the moment in which it looked like rising on"
    assert governor.hold(OPTIONS, now=now) is None
    for _ in range(10):
        now += 0.1
        governor.observe_latency("canary_read", 0.02, now=now, interval=0.1)
    held = governor.hold(OPTIONS, now=now)
    assert held is not None
    assert held.reason.startswith("canary_read ")
    governor.observe_others(True)
    limits = {row.name: (row.soft, row.hard) for row in governor.signals(now)}["canary_read"]
    assert limits == (pytest.approx(0.003, abs=0.001), pytest.approx(0.011, abs=0.001))


def test_what_the_foreground_needed_says_nothing_while_it_is_away_and_is_remembered() -> None:
    governor, now = Governor(OPTIONS), 0.0

    def run(seconds: float, latency_s: float, now: float) -> float:
        for _ in range(round(seconds / 0.1)):
            now += 0.1
            governor.observe_latency("canary_read", latency_s, now=now, interval=0.1)
            governor.spent(1000, 0.1, OPTIONS, now=now)
            governor.speed(OPTIONS, now=now)
        return now

    now = run(1.0, 0.001, now)
    governor.observe_others(True)
    now = run(3.0, 0.006, now)
    pressed = governor.caps(OPTIONS, now=now).time_ratio
    assert pressed < 0.5
    governor.observe_others(False)
    assert governor.caps(OPTIONS, now=now).time_ratio == 1.0
    now = run(0.5, 0.006, now)
    assert governor.caps(OPTIONS, now=now).time_ratio == 1.0
    governor.observe_others(True)
    assert governor.caps(OPTIONS, now=now).time_ratio == pytest.approx(pressed, rel=0.1)


def test_a_reading_counts_at_once_though_speeds_are_kept_for_a_moment() -> None:
    governor, limits = Governor(OPTIONS), Limits(10, 20)
    governor.observe(Reading("load", 1.0, at=0.0), limits, now=0.0)
    governor.spent(1000, 1.0, OPTIONS, now=0.0)
    assert governor.speed(OPTIONS, now=0.0) == 1.0
    governor.observe(Reading("load", 25.0, at=0.001), limits, now=0.001)
    halved = governor.speed(OPTIONS, now=0.001)
    assert halved == pytest.approx(0.5, abs=0.01)
    assert governor.speed(OPTIONS, now=0.005) == halved
    governor.spent(1000, 0.001, OPTIONS, now=0.006)
    assert governor.speed(OPTIONS, now=0.006) < halved, "so does a chunk"


def test_a_soft_signal_lowers_the_speed_of_a_running_job() -> None:
    governor, now = Governor(OPTIONS), 0.0
    for tick in range(50):
        now = tick * 0.1
        governor.observe(Reading("archive_backlog", 30.0, at=now), Limits(20, 42), now=now)
        governor.spent(1000, 0.1, OPTIONS, now=now)
        governor.speed(OPTIONS, now=now)
    assert governor.speed(OPTIONS, now=now) < 0.2


def test_lanes_of_other_daemons_get_their_part() -> None:
    governor = Governor(OPTIONS)
    governor.observe_wal(0, 1, now=0.0)
    governor.observe_replica("b", replay_lsn=0, state="streaming", now=0.0)
    alone = governor.pace(OPTIONS, now=0.0)
    governor.set_lanes(total=4, own=1)
    shared = governor.pace(OPTIONS, now=0.0)
    assert alone is not None
    assert shared == alone / 4


def test_a_chunk_pays_with_its_own_time_and_idle_time_earns_nothing() -> None:
    bucket = Bucket()
    bucket.spend(100, 100.0, since=0.0, now=0.4)
    assert bucket.wait_s(100.0, now=0.4) == pytest.approx(0.6)
    assert bucket.wait_s(100.0, now=50.0) == 0
    bucket.spend(100, 100.0, since=50.0, now=50.0)
    assert bucket.wait_s(100.0, now=50.0) == pytest.approx(1.0)
    assert bucket.wait_s(1000.0, now=50.0) == pytest.approx(0.1), "a debt is an amount, so a higher rate pays sooner"
    assert bucket.wait_s(None, now=50.0) == 0


def test_usage_counts_what_lies_between_two_times() -> None:
    usage = Usage()
    assert usage.wal_rate(0.0, 1.0) == 0
    for tick in range(100):
        usage.add(1000, since=tick * 0.1, now=tick * 0.1 + 0.05)
    assert usage.wal_rate(5.0, 6.0) == pytest.approx(10_000)
    assert usage.busy_share(5.0, 6.0) == pytest.approx(0.5)
    assert usage.wal_rate(20.0, 21.0) == 0


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 100), st.floats(0, 1e12)), max_size=20))
def test_usage_and_debts_stay_finite(chunks: list[tuple[float, float, float]]) -> None:
    usage, bucket, now = Usage(), Bucket(), 0.0
    for gap, seconds, wal in chunks:
        now += gap + seconds
        usage.add(wal, since=now - seconds, now=now)
        bucket.spend(wal, 1e6, since=now - seconds, now=now)
        assert 0 <= usage.wal_rate(now - 1, now) < math.inf
        assert 0 <= usage.busy_share(now - 1, now) <= 1.0 + 1e-6
        wait = bucket.wait_s(1e6, now=now)
        assert 0 <= wait < math.inf
        assert bucket.wait_s(1e6, now=now) == wait


def test_a_signal_with_a_slowest_speed_slows_to_that_and_no_further() -> None:
    governor, now = Governor(OPTIONS), 0.0
    for _ in range(100):
        now += 0.1
        governor.spent(0, 0.1, OPTIONS, now=now)
        governor.observe(Reading("oldest_transaction", 7200.0, at=now), Limits(1800, math.inf, slowest=0.5), now=now)
        speed = governor.speed(OPTIONS, now=now)
    assert speed == 0.5
    assert governor.hold(OPTIONS, now=now) is None
