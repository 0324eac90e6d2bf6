"""When too much fails in a row, on one lane or on all of them together."""

from __future__ import annotations

from pgbackfill.control.options import PacingOptions
from pgbackfill.worker.breaker import FAILED_MAX, Breaker, Streak

ERROR = ValueError("no")
OPTIONS = PacingOptions(max_quarantined=100)
"""25 rows in a row."""


def test_failed_chunks_are_counted_lane_by_lane() -> None:
    breaker, lanes = Breaker(), [Streak() for _ in range(4)]
    for _ in range(FAILED_MAX - 1):
        assert all(breaker.failed(lane, ERROR, held=False) is None for lane in lanes)
    breaker.committed(lanes[0], 0)
    assert breaker.failed(lanes[0], ERROR, held=False) is None
    assert breaker.failed(lanes[1], ERROR, held=True) is None
    reason = breaker.failed(lanes[2], ERROR, held=False)
    assert reason == f"circuit_breaker {FAILED_MAX} chunks in a row failed, the last: no (no SQLSTATE)"


def test_rows_set_aside_by_any_lane_count_until_one_changes_a_row() -> None:
    breaker, lanes = Breaker(), [Streak() for _ in range(4)]
    for _ in range(6):
        assert all(breaker.quarantined(lane, ERROR, OPTIONS) is None for lane in lanes)
    reason = breaker.quarantined(lanes[3], ERROR, OPTIONS)
    assert reason == "circuit_breaker 25 rows in a row could not be changed, the last: no (no SQLSTATE)"


def test_a_lane_in_a_bad_region_is_not_excused_by_the_others() -> None:
    breaker, bad, good = Breaker(), Streak(), Streak()
    for _ in range(24):
        assert breaker.quarantined(bad, ERROR, OPTIONS) is None
        breaker.committed(good, 100)
        breaker.committed(bad, 0)
    assert breaker.quarantined(bad, ERROR, OPTIONS) is not None
    assert breaker.quarantined(bad, ERROR, OPTIONS) is None, "after that it counts anew"


def test_a_changed_row_ends_the_streak_of_its_lane() -> None:
    breaker, lane = Breaker(), Streak()
    for _ in range(10):
        for _ in range(20):
            assert breaker.quarantined(lane, ERROR, OPTIONS) is None
        breaker.committed(lane, 1)
