"""How far apart the rows are that cannot be changed, and how many rows the next chunk should risk for it.

Looking for bad rows is group testing: a group that fails costs log2(rows) further chunks, one that passes is done.
Where each row is bad with the same small probability, groups of ln 2 times the usual gap fail every other time, which
needs the fewest chunks in all (Sobel and Groll, Group testing to eliminate efficiently all defectives, 1959).
"""

from __future__ import annotations

import math

GROUP_SHARE = math.log(2)

CLEAN_FACTOR = 2.0
"""A stretch without bad rows says that they have become rarer: the next chunk may be twice as long as it."""

WEIGHT = 0.5
"""Of the latest gap in the usual one, which is a geometric mean: clusters and lonely rows differ by powers of ten."""


class Gaps:
    """Counts good rows between bad ones. Knows nothing, and limits nothing, before the first bad row."""

    def __init__(self) -> None:
        self._usual: float | None = None
        self._clean = 0

    def good(self, rows: int) -> None:
        """So many rows were committed."""
        self._clean += rows

    def bad(self) -> None:
        """The next row failed alone."""
        gap = self._clean + 1
        self._usual = gap if self._usual is None else self._usual ** (1 - WEIGHT) * gap**WEIGHT
        self._clean = 0

    @property
    def limit(self) -> float:
        """Rows that the next chunk should have at most, at least 1."""
        if self._usual is None:
            return math.inf
        return max(1.0, GROUP_SHARE * self._usual, CLEAN_FACTOR * self._clean)
