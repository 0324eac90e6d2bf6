"""The projection: the decision core over imagined chunks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgbackfill.control.options import PacingOptions
from pgbackfill.plan.projection import (
    BETWEEN_S,
    MARGIN_LEAST,
    MARGIN_OF_MODEL,
    RowCost,
    Saving,
    Work,
    project,
)

ROW = RowCost(seconds=5e-6, wal_bytes=400, changed=1.0, page_images=0.0)
WORK = Work(rows=1_000_000, parts=[ROW] * 12, overhead_s=0.001)


def test_rows_and_chunks_add_up() -> None:
    found = project(WORK, PacingOptions())
    assert found.rows_changed == WORK.rows
    assert found.wal_bytes == pytest.approx(400 * WORK.rows)
    assert found.seconds == pytest.approx(5.0 + found.chunks * (0.001 + BETWEEN_S), rel=0.01)
    assert 50 <= found.chunks <= 80  # chunks of 100 ms, and a ramp


def test_the_start_counts() -> None:
    late = project(replace(WORK, start_s=7.0), PacingOptions())
    assert late.seconds == pytest.approx(project(WORK, PacingOptions()).seconds + 7.0)


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"max_rows_per_s": 10_000}, 100.0),
        ({"max_wal_bytes_per_s": 10_000_000}, 40.0),
        ({"duty_max": 0.25}, 4 * 5.0),
    ],
)
def test_limits_of_the_job_bind(options: dict[str, float], seconds: float) -> None:
    assert project(WORK, PacingOptions(**options)).seconds == pytest.approx(seconds, rel=0.1)


def test_a_walk_of_weeks_is_carried_on_at_the_rate_that_was_reached() -> None:
    huge = replace(WORK, rows=100_000_000_000)
    found = project(huge, PacingOptions())
    assert found.seconds == pytest.approx(5e-6 * huge.rows, rel=0.1)
    assert found.wal_bytes == pytest.approx(400 * huge.rows, rel=0.01)
    assert found.rows_changed == pytest.approx(huge.rows, rel=0.01)


def test_parts_cost_what_each_of_them_costs() -> None:
    dear = replace(ROW, seconds=15e-6)
    found = project(replace(WORK, parts=[ROW] * 6 + [dear] * 6), PacingOptions())
    assert found.seconds == pytest.approx(10.0, rel=0.1)


def test_where_hardly_a_row_changes_chunks_look_further() -> None:
    sparse = replace(WORK, parts=[RowCost(2e-7, 0.4, 0.001, 0.0)] * 12, looks_further=True)
    near = project(replace(sparse, looks_further=False), PacingOptions())
    far = project(sparse, PacingOptions())
    assert far.chunks < near.chunks / 2
    assert far.rows_changed == near.rows_changed == 1000


def test_a_page_is_imaged_once_where_keys_lie_all_over_the_heap() -> None:
    random = replace(WORK, parts=[replace(ROW, page_images=1.0)] * 12, pages=40_000, image_bytes=8000, image_s=10e-6)
    found = project(random, PacingOptions())
    assert found.wal_bytes == pytest.approx(400 * WORK.rows + 8000 * 40_000, rel=0.02)
    ever_new = project(replace(random, pages=None), PacingOptions())
    assert ever_new.wal_bytes == pytest.approx(8400 * WORK.rows)


def test_later_chunks_find_room_on_the_pages_of_earlier_ones() -> None:
    room = replace(WORK, pages=40_000, room=Saving(seconds=3e-6, wal_bytes=300))
    found = project(room, PacingOptions())
    assert 2.0 < found.seconds < 3.5
    assert 100 * WORK.rows < found.wal_bytes < 200 * WORK.rows


def test_the_range_is_as_wide_as_the_parts_differ() -> None:
    even, uneven = project(WORK, PacingOptions()), replace(WORK, parts=[ROW] * 6 + [replace(ROW, seconds=3e-5)] * 6)
    assert even.margin == MARGIN_LEAST
    assert project(uneven, PacingOptions()).margin > MARGIN_LEAST
    assert project(replace(WORK, room=Saving(0, 0)), PacingOptions()).margin == MARGIN_OF_MODEL
    low, high = even.around(100.0)
    assert (low, high) == (80.0, 125.0)
