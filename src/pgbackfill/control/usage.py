"""What this daemon itself did lately: its own WAL and its busy time, all lanes together."""

from __future__ import annotations

import math

BIN_S = 0.05
"""Chunks are added up in bins of half a poll, so that a thousand tiny chunks a second cost no more than ten."""

MEMORY_S = 30.0
"""Older bins are dropped. Long enough for the slowest poll that is still useful (10 s)."""

LULL_S = 1.0
"""After so long without a chunk the work begins anew: what was achieved counts from there. Longer than any sleep of the
pace, which makes chunks smaller instead."""

SHORTEST_S = 1e-6
"""A chunk shorter than a clock can tell wrote its WAL at one moment."""


class Usage:
    """Busy seconds, WAL bytes, and the busy seconds that there would be without a throttle, per bin of time.

    A chunk's WAL is taken as written evenly over its time.
    """

    def __init__(self) -> None:
        self._bins: dict[int, list[float]] = {}
        self._oldest = 0
        self.last_end: float | None = None
        self.began = -math.inf
        """Start of the first chunk after the last lull."""
        self.wal_seen = False
        """Whether any chunk said how much WAL it wrote; where WAL functions are missing, none does."""

    def add(self, wal_bytes: float, *, since: float, now: float, throttle: float = 1.0) -> None:
        """Note a chunk that ran from `since` to `now` (seconds), of a job throttled to this part of its pace."""
        if self.last_end is None or since - self.last_end > LULL_S:
            self.began = since
        self.last_end = now if self.last_end is None else max(self.last_end, now)
        self.wal_seen = self.wal_seen or wal_bytes > 0
        self._forget(now)
        since = max(min(since, now), now - MEMORY_S)
        if now - since < SHORTEST_S:
            self._note(math.floor(now / BIN_S), 0.0, max(0.0, wal_bytes), throttle)
            return
        rate = max(0.0, wal_bytes) / (now - since)
        for index in range(math.floor(since / BIN_S), math.floor(now / BIN_S) + 1):
            overlap = min(now, (index + 1) * BIN_S) - max(since, index * BIN_S)
            if overlap > 0:
                self._note(index, overlap, rate * overlap, throttle)

    def _note(self, index: int, seconds: float, wal_bytes: float, throttle: float) -> None:
        held = self._bins.setdefault(index, [0.0, 0.0, 0.0])
        for column, amount in enumerate((seconds, wal_bytes, seconds / throttle)):
            held[column] += amount

    def wal_rate(self, start: float, end: float) -> float:
        """WAL bytes per second between two times."""
        return self._sum(start, end, 1) / (end - start) if end > start else 0.0

    def busy_share(self, start: float, end: float) -> float:
        """Chunk seconds per second between two times; up to the number of lanes."""
        return self._sum(start, end, 0) / (end - start) if end > start else 0.0

    def throttle(self, start: float, end: float) -> float:
        """The part of its pace that throttles left between two times; 1 where nothing is throttled, or nothing ran."""
        unthrottled = self._sum(start, end, 2)
        return min(1.0, self._sum(start, end, 0) / unthrottled) if unthrottled > 0 else 1.0

    def _sum(self, start: float, end: float, column: int) -> float:
        if self.last_end is None:
            return 0.0
        first, last = math.floor(start / BIN_S), math.floor(min(end, self.last_end) / BIN_S)
        total = 0.0
        for index in range(max(first, last - round(MEMORY_S / BIN_S)), last + 1):
            held = self._bins.get(index)
            if held is None:
                continue
            # The last bin holds only what has happened: all of it counts when nothing came after `end`.
            until = 1.0 if end >= self.last_end else min(1.0, end / BIN_S - index)
            total += held[column] * max(0.0, until - max(0.0, start / BIN_S - index))
        return total

    def _forget(self, now: float) -> None:
        oldest = math.floor((now - MEMORY_S) / BIN_S) - 1
        if oldest - self._oldest > 2 * len(self._bins) + 100:
            self._bins = {index: held for index, held in self._bins.items() if index >= oldest}
        else:
            for index in range(self._oldest, oldest):
                self._bins.pop(index, None)
        self._oldest = max(self._oldest, oldest)
