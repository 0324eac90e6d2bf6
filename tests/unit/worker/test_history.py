"""The last hour of a job: what a point says, and that it stays bounded."""

from __future__ import annotations

import pytest

from pgbackfill.worker.history import GAP_S, INTERVAL_S, JOBS_MOST, KEPT_S, POINTS_MOST, SERIES, History, Look, columns

START = 1_767_225_600.0  # a multiple of the interval


def looked(*looks: Look) -> History:
    history = History()
    for look in looks:
        history.add("job", look)
    return history


def every_second(seconds: int, rows_per_second: int = 100) -> list[Look]:
    return [Look(START + at, at * rows_per_second) for at in range(seconds)]


def test_a_point_is_five_seconds_of_looks_with_the_rate_between_their_ends() -> None:
    points = looked(*every_second(21)).points("job", now=START + 21)
    assert [point.at - START for point in points] == [4, 9, 14, 19]
    assert [point.rows_per_second for point in points] == [100, 100, 100, 100]


def test_a_hold_shows_as_no_rows_and_by_its_kind() -> None:
    held = [Look(START + at, 500, hold="replica_lag") for at in range(5, 11)]
    _, point = looked(*every_second(5), *held).points("job", now=START + 11)
    assert point.rows_per_second == pytest.approx(20)  # those of the second before the hold
    assert point.hold == "replica_lag"


def test_of_signals_the_worst_moment_counts_and_unknown_is_worse_than_any() -> None:
    lags: list[float | None] = [0.1, 6.2, 0.3, 0.1, 0.1, 0.1, None, 0.1, 0.1, 0.1, 0.1]
    looks = [Look(START + at, at, lag_s=lag, canary_read_s=0.001) for at, lag in enumerate(lags)]
    points = looked(*looks).points("job", now=START + 11)
    assert [point.lag_s for point in points] == [6.2, None]
    assert [point.canary_read_s for point in points] == [0.001, 0.001]


def test_no_rate_is_made_up_for_a_time_in_which_nobody_looked() -> None:
    late = START + 5 + GAP_S
    points = looked(*every_second(5), Look(late, 9_000), Look(late + INTERVAL_S, 9_000)).points("job", now=late + 10)
    assert points[1].rows_per_second is None


def test_a_count_that_went_back_is_no_negative_rate() -> None:
    points = looked(Look(START, 900), Look(START + 5, 100), Look(START + 10, 100)).points("job", now=START + 10)
    assert points[1].rows_per_second == 0


def test_an_hour_is_kept_and_no_more() -> None:
    looks = [Look(START + at * INTERVAL_S, at) for at in range(2 * POINTS_MOST)]
    now = looks[-1].at
    history = looked(*looks)
    points = history.points("job", now=now)
    assert len(points) == POINTS_MOST - 1  # the one of an hour ago is no longer in it, the newest has not ended
    assert points[0].at > now - KEPT_S
    assert len(history.points("job", now=now, since=now - 60)) == 60 / INTERVAL_S - 1
    assert history.points("job", now=now + KEPT_S) == []


def test_the_job_that_was_seen_longest_ago_makes_room() -> None:
    history = History()
    for number in range(JOBS_MOST):
        history.add(f"job-{number}", Look(START, 0))
    history.add("job-0", Look(START + 1, 0))
    history.add("one-more", Look(START + 1, 0))
    assert "job-0" in history
    assert "job-1" not in history
    assert sum(f"job-{number}" in history for number in range(JOBS_MOST)) == JOBS_MOST - 1


def test_jobs_are_forgotten_when_deleted_or_an_hour_old() -> None:
    history = looked(Look(START, 0))
    history.add("other", Look(START + 1, 0))
    history.expire(START + KEPT_S + 0.5)
    assert "job" not in history
    history.forget("other")
    assert "other" not in history
    assert history.points("other", now=START) == []


def test_series_have_one_value_a_point_each() -> None:
    found = columns(looked(*every_second(11)).points("job", now=START + 11))
    assert tuple(found) == SERIES
    assert {len(series) for series in found.values()} == {2}
    assert found["rows_per_second"] == [100.0, 100.0]
