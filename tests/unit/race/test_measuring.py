"""What the race measures with: the link's bound, true lag, the foreground's log, a standby out of reach."""

from __future__ import annotations

import pytest
from benchmarks.race.foreground import Transaction, read_log
from benchmarks.race.lag import Sample, pace, true_lags, written_by
from benchmarks.race.reaction import Look, reaction_s, slowdown
from benchmarks.race.schedule import Schedule
from benchmarks.race.stopped import stopped

CHANGING = Schedule.of((0, 20), (4, 5), (8, 40))
WITH_STOP = Schedule.of((0, 12), (3, 0), (18, 12))


@pytest.mark.parametrize(
    ("schedule", "megabytes", "seconds"),
    [
        (CHANGING, 40, 2),
        (CHANGING, 80, 4),
        (CHANGING, 90, 6),
        (CHANGING, 140, 9),
        (WITH_STOP, 36, 3),
        (WITH_STOP, 48, 19),
    ],
)
def test_the_bound_is_when_the_link_can_have_carried_the_bytes(
    schedule: Schedule, megabytes: float, seconds: float
) -> None:
    assert schedule.seconds_for(megabytes * 1e6) == pytest.approx(seconds)
    assert schedule.bytes_by(seconds) == pytest.approx(megabytes * 1e6)


def test_the_stop_of_a_schedule_scales_with_it() -> None:
    assert WITH_STOP.stop == (3, 18)
    assert WITH_STOP.scaled(0.5).stop == (1.5, 9)
    assert CHANGING.stop is None


def test_there_is_no_lag_while_everything_is_replayed_however_long_nothing_was_written() -> None:
    assert true_lags([Sample(at, 100, 100) for at in range(60)]) == [0.0] * 60


def test_lag_grows_by_a_second_a_second_behind_a_standby_that_stands_still() -> None:
    samples = [Sample(float(at), 1000 * at, min(1000 * at, 5000)) for at in range(20)]
    assert true_lags(samples) == [0.0] * 6 + [pytest.approx(at - 5) for at in range(6, 20)]


def test_lag_counts_from_when_the_next_byte_was_written_and_not_from_idle_time_before() -> None:
    idle = [Sample(float(at), 100, 100) for at in range(10)]
    lags = true_lags([*idle, Sample(10.0, 200, 100), Sample(11.0, 200, 150)])
    assert lags[10:] == [pytest.approx(1.0), pytest.approx(1.5)]


def test_positions_between_samples_are_interpolated_and_the_pace_is_over_its_window() -> None:
    samples = [Sample(float(at), 100 * at, 0) for at in range(5)]
    assert written_by(samples, 2.5) == 250
    assert (written_by(samples, -1), written_by(samples, 9)) == (0, 400)
    assert pace(samples, 2) == [0.0, 100.0, 100.0, 100.0, 100.0]


def test_the_foregrounds_log_gives_arrivals_and_leaves_out_failures_and_a_cut_off_line() -> None:
    log = "0 1 5000 0 100 500000 120\n1 2 failed 0 100 600000 0\n0 2 250000 0 101 0 0 1\n0 3 40"
    assert list(read_log(log)) == [Transaction(pytest.approx(100.495), 5.0), Transaction(pytest.approx(100.75), 250.0)]


def outage(writes_until: float, back_at: float) -> list[Sample]:
    """100 bytes a second from 0 to 30 s but for the hold; out of reach from 5 to 15 s, then ten times as fast."""
    samples, written, replayed = [], 0.0, 0.0
    for tick in range(1500):
        at = tick * 0.02
        written += 2 if at < writes_until or at >= back_at else 0
        replayed = min(written, replayed + (0 if 5 <= at < 15 else 20))
        samples.append(Sample(at, int(written), int(replayed)))
    return samples


def test_an_outage_is_told_from_the_samples() -> None:
    found = stopped(outage(writes_until=11, back_at=18), 0, 5, 15, soft_s=1, hard_s=5)
    assert found.held_after == pytest.approx(1.0, abs=0.15)  # 5 s of lag at 10 s, the last write at 11 s
    assert found.drained_after == pytest.approx(0.6, abs=0.15)  # 600 bytes at 1000 a second
    assert found.back_after_link == pytest.approx(3.5, abs=0.2)  # at 18 s, and a window of 0.5 s
    assert found.back_after == pytest.approx(found.back_after_link - found.drained_after)


def test_who_stops_in_time_is_not_late_and_who_never_comes_back_has_no_figure() -> None:
    found = stopped(outage(writes_until=8, back_at=99), 0, 5, 15, soft_s=1, hard_s=5)
    assert (found.held_after, found.back_after, found.back_after_link) == (0.0, None, None)


def test_who_rested_just_before_the_stop_is_measured_by_its_mean_pace() -> None:
    found = stopped(outage(writes_until=3, back_at=18), 0, 5, 15, soft_s=1, hard_s=5)
    assert found.back_after_link == pytest.approx(3.3, abs=0.2)  # 90 % of 60 a second, over a window of 0.5 s


def test_the_first_slowdown_of_a_link_is_not_its_stop() -> None:
    assert slowdown(CHANGING) == 4
    assert slowdown(WITH_STOP) is None
    assert slowdown(None) is None


def looks(*rows: tuple[float, float, float]) -> list[Look]:
    return [Look(at, lag_s, pace) for at, lag_s, pace in rows]


def test_the_reaction_is_from_the_lag_that_shows_to_the_pace_that_shows() -> None:
    before = ((3.0, 0.2, 19e6), (3.9, 0.25, 20e6))
    assert reaction_s(looks(*before, (4.1, 0.4, 20e6), (4.2, 0.5, 18e6), (4.3, 0.6, 17e6)), 4) == pytest.approx(0.2)
    assert reaction_s(looks(*before, (4.1, 0.3, 17e6), (4.2, 0.4, 12e6)), 4) == 0.0, "lower before the lag stepped"


def test_who_never_lowers_the_pace_or_never_lags_has_no_reaction() -> None:
    before = ((3.0, 0.2, 19e6), (3.9, 0.25, 20e6))
    assert reaction_s(looks(*before, (4.1, 0.4, 20e6), (4.2, 0.5, 19e6)), 4) is None
    assert reaction_s(looks(*before, (4.1, 0.2, 10e6)), 4) is None
    assert reaction_s([], 4) is None
