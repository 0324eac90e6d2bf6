"""Keys that part a range into equal numbers of rows, so that the position of its cursor tells how far it has come."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from .cuts import Piece, Sample
from .key import Arguments, KeyColumn, KeyText

MILESTONES_MAX = 16
"""Per range. Between two of them the rows scanned count, so the estimate is off by a fraction of a sixteenth."""

COMPARED_MAX = 4
"""How many a chunk may pass at once: one that is so large belongs to a job of a second."""


def milestones(sample: Sample, pieces: Sequence[Piece]) -> list[list[KeyText]]:
    """For each piece, keys in order that part it evenly; none where too few keys were seen."""
    found: list[list[KeyText]] = []
    first, begin = 0, 0
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        end = len(sample.keys) if last else list(sample.keys).index(piece.upper, first)
        end_rank = sample.seen if last else sample.ranks[end]
        found.append(_parted(sample, first, end, begin, end_rank))
        first, begin = end + 1, end_rank
    return found


def _parted(sample: Sample, first: int, end: int, begin_rank: int, end_rank: int) -> list[KeyText]:
    wanted = min(MILESTONES_MAX, end - first)
    keys: list[KeyText] = []
    for number in range(1, wanted + 1):
        rank = begin_rank + (end_rank - begin_rank) * number / (wanted + 1)
        keys.append(sample.keys[min(bisect_left(sample.ranks, rank, lo=first), end - 1)])
    return keys


def passed(columns: Sequence[KeyColumn], end: Sequence[str], ahead: Sequence[KeyText], arguments: Arguments) -> str:
    """SQL for how many of the next milestones a chunk that ends at `end` has passed."""

    if not ahead:
        return "0"

    def row(key: Sequence[str]) -> str:
        return ", ".join(
            arguments.key_value(value, column.type_name) for value, column in zip(key, columns, strict=True)
        )

    reached = row(end)
    return " + ".join(f"CAST(({reached}) >= ({row(key)}) AS int)" for key in ahead[:COMPARED_MAX])
