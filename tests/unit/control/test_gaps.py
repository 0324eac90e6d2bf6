"""What bad rows cost in chunks, on a table of a million rows that takes some 40 chunks without them."""

from __future__ import annotations

import random
from bisect import bisect_left

import pytest

from pgbackfill.control.decision import ChunkSample, Outcome
from pgbackfill.control.gaps import Gaps
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.sizer import ChunkSizer

ROWS = 1_000_000


def transactions(bad: list[int]) -> int:
    """Of a whole walk: committed, rolled back, and those that set a row aside."""
    sizer, cursor, count = ChunkSizer(PacingOptions()), 0, 0
    while cursor < ROWS:
        rows = sizer.rows()
        end = min(ROWS, cursor + rows)
        next_bad = bisect_left(bad, cursor + 1)
        count += 1
        if next_bad < len(bad) and bad[next_bad] <= end:
            sizer.observe(ChunkSample(Outcome.POISON, rows, 0, 0, 0, 0.0))
            if rows == 1:
                count, cursor = count + 1, cursor + 1
        else:
            done, cursor = end - cursor, end
            seconds = 0.002 + done * 2.5e-6
            sizer.observe(ChunkSample(Outcome.COMMITTED, rows, done, done, 200 * done, seconds, at_end=end == ROWS))
    return count


def scattered(count: int) -> list[int]:
    return sorted(random.Random(7).sample(range(1, ROWS + 1), count))


def clusters(count: int, size: int) -> list[int]:
    stretch, chance = ROWS // count, random.Random(7)
    return [start + i for n in range(count) for start in [n * stretch + chance.randint(1, stretch - size)]
            for i in range(size)]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "most"),
    [
        (scattered(1000), 14), (scattered(10_000), 11), (scattered(100), 17), ([500_000], 20),
        (clusters(20, 50), 3), (clusters(100, 10), 6), (list(range(400_001, 401_001)), 2.1),
    ],
    ids=["scattered", "dense", "rare", "one", "20 clusters", "small clusters", "one stretch"],
)  # fmt: skip
def test_a_bad_row_costs_few_chunks(bad: list[int], most: float) -> None:
    assert (transactions(bad) - transactions([])) / len(bad) <= most


def test_nothing_is_limited_before_the_first_bad_row_and_never_below_one() -> None:
    gaps = Gaps()
    gaps.good(10)
    assert gaps.limit == float("inf")
    for _ in range(50):
        gaps.bad()
    assert gaps.limit == 1


def test_a_clean_stretch_lifts_the_limit_however_low_it_was() -> None:
    gaps = Gaps()
    gaps.bad()
    for _ in range(12):
        gaps.good(int(gaps.limit))
    assert gaps.limit > 50_000
