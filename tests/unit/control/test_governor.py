"""Many signals in, one answer: held or not, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.control.governor import Governor
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.signals import Level, Limits, Reading

OPTIONS = PacingOptions()
RATE = 10_000_000


class Link:
    """A primary that writes at `RATE` and one replica that stands `behind` seconds behind."""

    def __init__(self) -> None:
        self.governor = Governor(OPTIONS)
        self.now = 0.0

    def run(self, seconds: float, behind: float = 0.0, *, replica: str | None = "replica-b") -> None:
        for _ in range(round(seconds / 0.1)):
            self.now = round(self.now + 0.1, 6)
            self.governor.observe_wal(int(RATE * self.now), 1, now=self.now)
            if replica is not None:
                lsn = int(RATE * max(0.0, self.now - behind))
                self.governor.observe_replica(replica, replay_lsn=lsn, state="streaming", now=self.now, interval=0.1)
            self.governor.hold(OPTIONS, now=self.now)

    def reason(self, options: PacingOptions = OPTIONS) -> str | None:
        hold = self.governor.hold(options, now=self.now)
        return hold.reason if hold else None


def test_a_replica_beyond_the_hard_limit_holds_with_a_reason() -> None:
    link = Link()
    link.run(20)
    assert link.reason() is None
    link.run(1, behind=6.2)
    assert link.reason() == "replica_lag 6.2s > 5s (replica-b)"
    (row,) = link.governor.replicas(link.now)
    assert row.lag_s == pytest.approx(6.2)
    assert row.backlog_bytes == pytest.approx(6.2 * RATE, rel=0.01)
    assert row.drain_rate == pytest.approx(RATE, rel=0.01)


def test_a_replica_that_stood_still_is_never_shown_further_behind_than_it_is() -> None:
    link = Link()
    link.run(20)
    behind = 0.0
    for step in [0.1] * 120 + [-0.1] * 115:  # it stands for 12 s, then drains twice as fast as the primary writes
        behind += step
        link.run(0.1, behind=behind)
        (row,) = link.governor.replicas(link.now)
        assert row.lag_s == pytest.approx(behind, abs=0.01)


def test_a_queue_that_drains_slowly_is_expected_to_take_as_long_as_it_will() -> None:
    link = Link()
    link.run(20)
    for tenth in range(1, 21):  # for 2 s it drains a quarter of what is written
        link.run(0.1, behind=0.075 * tenth)
    (row,) = link.governor.replicas(link.now)
    assert row.lag_s == pytest.approx(1.5 * 4, rel=0.02), "1.5 s of WAL at a quarter of the rate"


def test_the_hold_stays_between_the_limits_and_ends_below_the_soft_one() -> None:
    link = Link()
    link.run(20)
    link.run(1, behind=6.2)
    hold = link.governor.hold(OPTIONS, now=link.now)
    assert hold is not None
    link.run(2, behind=2.0)
    again = link.governor.hold(OPTIONS, now=link.now)
    assert again is not None
    assert again.since == hold.since
    assert again.reason == "replica_lag 2s > 1s (replica-b)"
    link.run(0.1, behind=0.1)
    assert link.reason() is not None
    link.run(0.6, behind=0.1)
    assert link.reason() is None


def test_each_job_has_its_own_limits() -> None:
    link = Link()
    link.run(20)
    link.run(1, behind=2.0)
    assert link.reason() is None
    assert link.reason(PacingOptions(lag_soft_s=0.5, lag_hard_s=1.5)) == "replica_lag 2s > 1.5s (replica-b)"
    assert link.reason() is None


def test_a_replica_that_vanishes_is_slow_at_once_and_a_hold_after_ten_seconds() -> None:
    link = Link()
    link.run(20)
    assert link.governor.speed(OPTIONS, now=link.now) == 1.0
    link.run(2, replica=None)
    assert link.governor.speed(OPTIONS, now=link.now) < 0.5
    assert link.reason() is None
    link.run(9, replica=None)
    assert link.reason() == "replica_lag unknown for 11s (replica-b)"
    assert link.governor.replicas(link.now)[0].lag_s is None
    link.run(1)
    assert link.reason() is None


def test_a_row_whose_columns_may_not_be_read_is_unknown_at_once() -> None:
    link = Link()
    link.run(5)
    link.governor.observe_replica("replica-b", replay_lsn=None, state=None, now=link.now)
    assert link.governor.speed(OPTIONS, now=link.now) < 0.5
    assert link.governor.signals(link.now)[0].level is Level.UNKNOWN


def test_an_expected_replica_that_never_came_holds() -> None:
    link = Link()
    link.governor.expect(["replica-a", "replica-b"], now=0.0)
    link.run(9)
    assert link.reason() is None
    link.run(2)
    assert link.reason() == "replica_lag unknown for 11s (replica-a)"
    link.governor.forget("replica-a")
    assert link.reason() is None


def test_a_replica_older_than_the_history_is_unknown_not_healthy() -> None:
    governor = Governor(OPTIONS)
    governor.observe_wal(1 << 30, 1, now=0.0)
    governor.observe_replica("b", replay_lsn=0, state="catchup", now=0.0)
    assert governor.signals(0.0)[0].level is Level.UNKNOWN


def test_a_lag_measured_by_other_means_counts_where_it_is_larger() -> None:
    governor = Governor(OPTIONS)
    governor.observe_replica("aurora", replay_lsn=None, state="streaming", lag_s=7.0, now=0.0)
    hold = governor.hold(OPTIONS, now=0.0)
    assert hold is not None
    assert hold.reason == "replica_lag 7s > 5s (aurora)"


def test_the_oldest_hold_is_named_and_plain_signals_hold_too() -> None:
    link = Link()
    link.run(20)
    limits = Limits(20, 42)
    link.governor.observe(Reading("archive_backlog", 57.0, at=link.now, unit=" segments"), limits, now=link.now)
    assert link.reason() == "archive_backlog 57 segments > 42 segments"
    link.run(1, behind=7.0)
    link.governor.observe(Reading("archive_backlog", 50.0, at=link.now, unit=" segments"), limits, now=link.now)
    assert link.reason() == "archive_backlog 50 segments > 42 segments"


def test_a_reading_without_limits_is_shown_and_never_holds() -> None:
    governor = Governor(OPTIONS)
    governor.observe(Reading("xmin_age", None, at=0.0), None, now=0.0)
    assert governor.hold(OPTIONS, now=100.0) is None
    assert governor.speed(OPTIONS, now=100.0) == 1.0
    assert governor.signals(100.0)[0].level is Level.UNKNOWN


def test_an_idle_burst_is_not_taken_for_lag() -> None:
    governor = Governor(OPTIONS)
    for tick in range(50):
        governor.observe_wal(1000, 1, now=tick * 0.1)
        governor.observe_replica("b", replay_lsn=1000, state="streaming", now=tick * 0.1)
    governor.observe_wal(60_000_000, 1, now=5.0)
    governor.observe_replica("b", replay_lsn=1000, state="streaming", now=5.0)
    assert governor.hold(OPTIONS, now=5.0) is None


polls = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.integers(0, 1 << 32),
        st.one_of(st.none(), st.integers(0, 1 << 36)),
        st.sampled_from(["streaming", "catchup", None]),
        st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
    ),
    max_size=30,
)


@given(polls)
def test_any_readings_give_a_bounded_speed_and_the_same_answer_twice(
    steps: list[tuple[float, int, int | None, str | None, float | None]],
) -> None:
    governor, now, lsn = Governor(OPTIONS), 0.0, 0
    for seconds, written, replayed, state, value in steps:
        now, lsn = now + seconds, lsn + written
        governor.observe_wal(lsn, 1, now=now)
        governor.observe_replica("b", replay_lsn=replayed, state=state, now=now)
        governor.observe(Reading("x", value, at=now), Limits(1, 5), now=now)
        hold, speed = governor.hold(OPTIONS, now=now), governor.speed(OPTIONS, now=now)
        assert 0 < speed <= 1
        assert (governor.hold(OPTIONS, now=now), governor.speed(OPTIONS, now=now)) == (hold, speed)
        assert hold is None or hold.since <= now


def test_a_job_after_an_idle_hour_finds_its_speed_as_fast_as_one_that_has_just_paused() -> None:
    """What was achieved is counted from its first chunk: the idle time before would halve each step of the search."""
    link = Link()
    link.governor.set_lanes(1, 1)
    written, slow = 0.0, link.governor.pace(OPTIONS, now=0.0)
    for step in range(200):
        link.now = round(link.now + 0.1, 6)
        link.governor.observe_wal(int(written), 1, now=link.now)
        link.governor.observe_replica(
            "replica-b", replay_lsn=int(written), state="streaming", now=link.now, interval=0.1
        )
        pace = link.governor.pace(OPTIONS, now=link.now)
        if step == 190:
            slow = pace
        if step >= 190 and pace is not None:  # a chunk that writes in 20 ms what the pace allows in a tenth of a second
            link.governor.spent(int(pace * 0.1), 0.02, OPTIONS, now=link.now + 0.02)
            written += pace * 0.1
    assert slow is not None
    fast = link.governor.pace(OPTIONS, now=link.now)
    assert fast is not None
    assert fast > 8 * slow
