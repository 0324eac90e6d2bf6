"""How a walk is cut, decided from sampled keys alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.keyset.cuts import (
    RANGE_MIN_ROWS,
    RANGES_PER_LANE,
    Piece,
    Sample,
    blocks_wanted,
    cut,
    share_out,
    wider_share,
)


def sample(*, every: int, seen: int, rows: int) -> Sample:
    """Every so many of the rows 1, 2, … `seen`, where each stands for `rows / seen` rows."""
    ranks = list(range(every, seen + 1, every))
    return Sample([(str(rank),) for rank in ranks], ranks, seen, rows)


samples = st.builds(sample, every=st.integers(1, 50), seen=st.integers(0, 5_000), rows=st.integers(0, 10**9))


@given(samples, st.integers(1, 256))
def test_pieces_follow_each_other_and_end_at_the_last_key(sample: Sample, ranges: int) -> None:
    last = (str(sample.seen + 1),)
    pieces = cut(sample, last, ranges)
    uppers = [int(piece.upper[0]) for piece in pieces]
    assert uppers == sorted(set(uppers))
    assert pieces[-1].upper == last
    assert {piece.upper for piece in pieces[:-1]} <= set(sample.keys)
    assert 1 <= len(pieces) <= ranges
    assert len(pieces) <= max(1, sample.rows // RANGE_MIN_ROWS)
    assert min(piece.rows for piece in pieces) >= 1


@given(st.integers(1, 64), st.integers(40_000, 10**9), st.integers(4, 30))
def test_equal_row_counts_from_enough_keys(parallelism: int, rows: int, keys_per_range: int) -> None:
    ranges = min(RANGES_PER_LANE * parallelism, rows // RANGE_MIN_ROWS)
    seen = 8 * ranges * keys_per_range
    pieces = cut(sample(every=8, seen=seen, rows=rows), (str(seen),), ranges)
    assert len(pieces) == ranges
    assert abs(sum(piece.rows for piece in pieces) - rows) <= ranges
    fair = rows / ranges
    # A bound is off by at most half of the distance of two keys, a piece by twice that.
    assert all(abs(piece.rows - fair) <= fair / keys_per_range + 2 for piece in pieces)


@pytest.mark.parametrize(("rows", "pieces"), [(0, 1), (1, 1), (100, 1), (999, 1), (1000, 2), (1600, 3), (10**6, 8)])
def test_few_rows_make_few_ranges(rows: int, pieces: int) -> None:
    assert len(cut(sample(every=1, seen=min(rows, 4000), rows=rows), ("last",), 8)) == pieces


def test_the_last_key_is_not_a_bound_twice() -> None:
    found = Sample([("a",), ("z",)], [1, 2], 2, 10_000)
    assert [piece.upper for piece in cut(found, ("z",), 8)] == [("a",), ("z",)]


def test_no_keys_leave_one_range() -> None:
    assert cut(Sample([], [], 0, 0), ("z",), 8) == [Piece(("z",), 1)]


def test_leaves_get_ranges_by_their_rows_and_at_least_one() -> None:
    assert share_out(1, [5, 5_000_000]) == [1, 1]
    assert share_out(2, [12]) == [8]  # how many rows there are is measured, not estimated
    assert share_out(2, [100, 100]) == [4, 4]
    assert share_out(2, [0, 10, 990_000]) == [1, 1, 8]
    assert share_out(4, [1] * 1000) == [1] * 1000
    assert share_out(3, []) == []


@given(st.integers(2, 64), st.lists(st.integers(0, 10**9), min_size=2, max_size=50))
def test_ranges_are_about_four_a_lane_in_all(parallelism: int, rows: list[int]) -> None:
    shares = share_out(parallelism, rows)
    assert min(shares) >= 1
    assert sum(shares) <= RANGES_PER_LANE * parallelism + len(rows)


BLOCKS = 2_500_000
"""Of a table of 100 million rows, 40 in a block."""


def looked(share_of_table: float, ranges: int) -> Sample:
    """What the first look at a walk of that share of the table finds, on average."""
    seen = round(blocks_wanted(ranges) * 40 * share_of_table)
    return sample(every=max(1, seen // 1024), seen=seen, rows=round(BLOCKS * 40 * share_of_table))


@pytest.mark.parametrize("ranges", [4, 8, 64, 256])
def test_one_look_serves_a_whole_table(ranges: int) -> None:
    assert looked(1.0, ranges).serves(ranges, 40)
    assert blocks_wanted(ranges) <= 4096, "32 MB"


@pytest.mark.parametrize(
    ("share_of_table", "by_index"), [(0.05, False), (0.01, False), (0.005, True), (0.0001, True), (0.0, True)]
)
def test_a_walk_that_the_sample_hardly_met_is_looked_at_again(share_of_table: float, by_index: bool) -> None:
    found, share = looked(share_of_table, 8), blocks_wanted(8) / BLOCKS
    assert not found.serves(8, 40)
    wider = wider_share(found, share, BLOCKS, 8, 40)
    if by_index:
        assert wider is None
        assert found.rows <= 500_000, "a fifth of a second"
    else:
        assert wider is not None
        assert share < wider <= 7000 / BLOCKS, "a fifth of a second"
        assert wider * BLOCKS * share_of_table >= 60, "blocks that the walk then has in the sample"
