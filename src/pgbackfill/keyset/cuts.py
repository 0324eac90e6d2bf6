"""Where a walk is cut into ranges: how many there are, and which of the sampled keys become their bounds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from .key import KeyText

RANGES_PER_LANE = 4
"""Lanes end at different times, so work must be left to hand out; more ranges would make more short last chunks."""

RANGE_MIN_ROWS = 500
"""A range is no smaller than the first chunk of its lane would be: below that there is nothing to divide."""

BLOCKS_LEAST = 1000
BLOCKS_PER_RANGE = 16
"""A sample of 8 MB, more for many ranges. Where keys lie in heap order a block says little more than one key would; a
thousand place a bound to within 1.6 % of the rows (one standard deviation), an eighth of one of eight ranges."""

BLOCKS_PER_RANGE_LEAST = 8
"""With fewer in the walk itself, ranges come out uneven by more than a third, and another look is worth its price."""

ENTRIES_PER_BLOCK = 75
"""Index entries that can be read in the time of one block at random: 0.4 and 30 µs a piece, all in memory."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Keys of a walk in key order.

    `ranks[i]` is the place of `keys[i]` among the `seen` rows that were looked at, which stand for `rows` rows.
    """

    keys: Sequence[KeyText]
    ranks: Sequence[int]
    seen: int
    rows: int

    def serves(self, ranges: int, rows_per_block: float) -> bool:
        """Whether it says enough about the walk to cut it into so many ranges."""
        return self.seen >= BLOCKS_PER_RANGE_LEAST * ranges * rows_per_block


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of about `rows` rows, up to and including the key `upper`; it begins after the one before it."""

    upper: KeyText
    rows: int


def share_out(parallelism: int, rows: Sequence[int]) -> list[int]:
    """How many ranges each leaf gets, by its estimated rows: one at least, `RANGES_PER_LANE` a lane in all, about."""
    if parallelism == 1:
        return [1] * len(rows)
    total, everything = RANGES_PER_LANE * parallelism, max(1, sum(rows))
    if len(rows) == 1:
        return [total]  # few ranges where the rows are few is decided by what is found, not by an estimate
    return [max(1, round(total * share / everything)) for share in rows]


def blocks_wanted(ranges: int) -> int:
    """How many of the table's blocks the first look reads."""
    return max(BLOCKS_LEAST, BLOCKS_PER_RANGE * ranges)


def wider_share(sample: Sample, share: float, blocks: int, ranges: int, rows_per_block: float) -> float | None:
    """The share of the table's `blocks` to look at where `sample`, of `share` of them, does not serve.

    None: reading all of the walk by its index is cheaper.
    """
    enough = BLOCKS_PER_RANGE_LEAST * ranges * rows_per_block
    wider = min(1.0, share * enough / max(1, sample.seen))
    return None if sample.rows <= ENTRIES_PER_BLOCK * wider * blocks else wider


def cut(sample: Sample, last: KeyText, ranges: int) -> list[Piece]:
    """Pieces of equal row counts that end at `last`: as many as asked for, fewer where rows or keys are few."""
    ranges = max(1, min(ranges, sample.rows // RANGE_MIN_ROWS))
    pieces: list[Piece] = []
    begin, index = 0, 0
    for number in range(1, ranges):
        index = _nearest(sample.ranks, sample.seen * number / ranges, index)
        if index == len(sample.keys) or sample.keys[index] == last:
            break
        pieces.append(Piece(sample.keys[index], _rows(sample, sample.ranks[index] - begin)))
        begin = sample.ranks[index]
        index += 1
    return [*pieces, Piece(last, _rows(sample, sample.seen - begin))]


def _nearest(ranks: Sequence[int], rank: float, first: int) -> int:
    """The index, `first` or later, of the rank nearest to `rank`; the number of ranks where none is left."""
    after = bisect_left(ranks, rank, lo=first)
    if after == len(ranks):
        return after - 1 if after > first else after
    return after - 1 if after > first and rank - ranks[after - 1] <= ranks[after] - rank else after


def _rows(sample: Sample, seen: int) -> int:
    return max(1, round(sample.rows * seen / max(1, sample.seen)))
