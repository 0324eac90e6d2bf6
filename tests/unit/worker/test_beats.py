"""How far behind a replica is, by the newest heartbeat that it shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pgbackfill.worker.probes.beats import BEATS_MAX, Beats

START = datetime(2026, 1, 1, tzinfo=UTC)


def beat(number: int) -> datetime:
    return START + timedelta(seconds=number)


def beating(count: int) -> Beats:
    beats = Beats()
    for number in range(count):
        beats.written(beat(number), now=100.0 + number)
    return beats


def test_without_a_beat_nothing_is_known() -> None:
    assert Beats().lag(beat(0), now=100.0) is None


def test_a_replica_that_shows_the_last_beat_has_no_lag_however_long_ago_it_was() -> None:
    assert beating(3).lag(beat(2), now=1000.0) == 0.0


def test_lag_counts_from_the_first_beat_that_is_missing() -> None:
    beats = beating(5)
    assert beats.lag(beat(1), now=105.0) == 3.0
    assert beats.lag(None, now=105.0) == 5.0, "it has not even got the row"


def test_a_clock_that_was_set_back_starts_anew() -> None:
    beats = beating(5)
    beats.written(beat(-10), now=105.0)
    assert beats.lag(beat(-10), now=106.0) == 0.0
    assert beats.lag(beat(-20), now=106.0) == 1.0


def test_old_beats_are_dropped_and_the_lag_is_then_at_least_what_is_left() -> None:
    beats = beating(BEATS_MAX + 100)
    assert beats.lag(beat(0), now=100.0 + BEATS_MAX + 100) == BEATS_MAX
