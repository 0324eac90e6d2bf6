"""How far a chunk looks where almost no row needs a change.

Looking at a row costs a fiftieth of changing it and writes nothing, so `chunk_max_rows`, which bounds locks and WAL,
would make a walk through a finished part of the table mostly overhead. There a chunk looks further: as far as its
target time allows, and under a shorter statement time-out, so that a dense stretch behind the sparse one costs one
chunk that is rolled back instead of a burst.
"""

from __future__ import annotations

SPARSE_SHARE = 0.01
"""At most one row in a hundred needs a change: changing them costs less than looking at all of them."""

FROM_ROWS = 10_000
"""Chunks that are small have a reason for it."""

FACTOR_MAX = 16
"""50,000 rows become 800,000: some 80 ms of looking, close to the target time of a chunk."""

TIMEOUT_FACTOR = 4
"""A chunk that looks far may take this many times its target before it is rolled back."""


class Reach:
    """The factor on a chunk's rows. One per walk; forgetting it costs a few smaller chunks."""

    def __init__(self) -> None:
        self.factor = 1

    def learn(self, *, scanned: int, changed: int, seconds: float, target_s: float) -> None:
        """Take in what the last chunk looked at, changed, and took."""
        if scanned < FROM_ROWS or changed > SPARSE_SHARE * scanned or seconds > 2 * target_s:
            self.factor = 1
        elif seconds > target_s:
            self.factor = max(1, self.factor // 2)
        elif seconds < target_s / 2:
            self.factor = min(2 * self.factor, FACTOR_MAX)

    def failed(self) -> None:
        """A chunk was rolled back: look no further than it asks for."""
        self.factor = 1


def far_timeout_ms(configured_ms: int, target_ms: int) -> int:
    """The statement time-out of a chunk that may meet more rows than were asked for."""
    return min(configured_ms, TIMEOUT_FACTOR * target_ms)
