"""The throughput floor: what is slow, and what only looks slow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.control.decision import ChunkSample, Outcome
from pgbackfill.control.floor import Floor
from pgbackfill.control.options import PacingOptions

OPTIONS = PacingOptions(throughput_floor_s=60)
SCAN_S, CHANGE_S = 3e-7, 2e-5
"""A row that is looked at and one that is changed, as measured: 3 M and 50,000 rows a second."""


def work(
    floor: Floor,
    seconds: float,
    *,
    slowness: float = 1.0,
    density: float = 1.0,
    chunk_s: float = 0.1,
    options: PacingOptions = OPTIONS,
    lanes: int = 1,
) -> tuple[float, str | None]:
    """Chunks for so many seconds; how long it took until the floor said something, and what."""
    at = 0.0
    rows = max(1, int(chunk_s / ((SCAN_S + density * CHANGE_S) * slowness)))
    while at < seconds:
        sample = ChunkSample(Outcome.COMMITTED, rows, rows, int(rows * density), 0, chunk_s)
        reason = floor.finished(sample, options, lanes=lanes)
        at += chunk_s
        if reason is not None:
            return at, reason
    return at, None


def test_twenty_times_slower_for_a_minute_pauses_with_the_reason() -> None:
    floor = Floor()
    assert work(floor, 300)[1] is None
    after, reason = work(floor, 300, slowness=20)
    assert 60 <= after <= 73
    assert reason == "throughput 2460 rows/s < 10% of 49260 rows/s"


def test_five_times_slower_is_endured() -> None:
    floor = Floor()
    work(floor, 300)
    assert work(floor, 3600, slowness=5)[1] is None


def test_a_short_trough_is_forgotten() -> None:
    floor = Floor()
    work(floor, 300)
    for _ in range(20):
        assert work(floor, 40, slowness=50)[1] is None
        assert work(floor, 20)[1] is None


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_however_many_rows_need_a_change_a_steady_server_is_not_slow(densities: list[float]) -> None:
    floor = Floor()
    for density in densities:
        assert work(floor, 120, density=density)[1] is None


@pytest.mark.parametrize("density", [0.0, 0.001, 0.3, 1.0])
def test_a_slow_server_is_noticed_on_sparse_stretches_too(density: float) -> None:
    floor = Floor()
    work(floor, 120, density=1.0)
    work(floor, 120, density=density)
    assert work(floor, 120, density=density, slowness=25)[1] is not None


def test_small_chunks_failed_chunks_and_the_last_of_a_range_do_not_count() -> None:
    floor = Floor()
    work(floor, 120)
    assert work(floor, 600, slowness=100, chunk_s=0.01)[1] is None  # latency made them small
    for outcome in Outcome:
        sample = ChunkSample(outcome, 500, 1, 1, 0, 1.0, at_end=outcome is Outcome.COMMITTED)
        assert all(floor.finished(sample, OPTIONS) is None for _ in range(600))


def test_options_that_make_other_chunks_begin_anew() -> None:
    floor = Floor()
    work(floor, 120)
    small = OPTIONS.model_copy(update={"chunk_max_rows": 10})
    assert work(floor, 600, slowness=100, options=small)[1] is None


def test_lanes_that_share_a_server_are_not_slow() -> None:
    floor = Floor()
    work(floor, 120)
    assert work(floor, 600, slowness=16, lanes=16)[1] is None


def test_it_can_be_switched_off() -> None:
    never = OPTIONS.model_copy(update={"throughput_floor_ratio": 0.0})
    floor = Floor()
    work(floor, 120, options=never)
    assert work(floor, 600, slowness=1000, options=never)[1] is None
