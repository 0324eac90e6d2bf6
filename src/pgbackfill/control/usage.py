"""What this daemon itself did lately: its own WAL and its busy time, all lanes together."""

from __future__ import annotations

from collections import deque

MEMORY_S = 30.0
"""Older chunks are dropped. Long enough for the slowest poll that is still useful (10 s)."""


class Usage:
    """Chunks as (start, end, WAL bytes); a chunk's WAL is taken as written evenly over its time."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[float, float, float]] = deque()
        self.last_end: float | None = None

    def add(self, wal_bytes: float, *, since: float, now: float) -> None:
        """Note a chunk that ran from `since` to `now` (seconds)."""
        self._chunks.append((min(since, now), now, max(0.0, wal_bytes)))
        self.last_end = now if self.last_end is None else max(self.last_end, now)
        while self._chunks and self._chunks[0][1] < now - MEMORY_S:
            self._chunks.popleft()

    def wal_rate(self, start: float, end: float) -> float:
        """WAL bytes per second between two times."""
        return self._sum(start, end, 2) / (end - start) if end > start else 0.0

    def busy_share(self, start: float, end: float) -> float:
        """Chunk seconds per second between two times; up to the number of lanes."""
        return self._sum(start, end, None) / (end - start) if end > start else 0.0

    def _sum(self, start: float, end: float, column: int | None) -> float:
        total = 0.0
        for chunk in reversed(self._chunks):
            begun, ended, wal = chunk
            if ended <= start:
                break
            overlap = min(ended, end) - max(begun, start)
            if column is None:
                total += max(0.0, overlap)
            elif ended > begun:
                total += wal * max(0.0, overlap) / (ended - begun)
            elif start < ended <= end:
                total += wal
        return total
