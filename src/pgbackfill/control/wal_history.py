"""Where the primary's write-ahead log stood when: the ruler against which replicas are measured.

Reported lag is old news: it describes WAL that was written a lag ago, reads NULL when idle and freezes behind a dead
link. True lag is now minus the time at which the primary stood where the replica's replay stands.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

HORIZON_S = 3600.0
"""Older points are dropped: a replica further behind than this has "at least" this lag, and is held anyway."""

MAX_POINTS = 2048
"""When there are more, every second point of the older half goes: 100 s at 0.1 s, then coarser with age.

Resolution stays below 2 % of the age of a point, far finer than any limit on lag needs.
"""


@dataclass(frozen=True, slots=True)
class Lag:
    """Replication lag in seconds; `at_least` where the replica stands before the first known point."""

    seconds: float
    at_least: bool = False


class WalHistory:
    """(time, LSN) of the primary, LSNs as integers, times in seconds on the clock of `now`."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._lsns: list[int] = []
        self._timeline: int | None = None

    def observe(self, lsn: int, timeline: int | None, *, now: float) -> None:
        """Note that the primary stands at `lsn`. Another timeline, or a step back, starts the history anew."""
        if (timeline is not None and timeline != self._timeline) or (self._lsns and lsn < self._lsns[-1]):
            self.clear()
        if timeline is not None:
            self._timeline = timeline
        if self._times and now <= self._times[-1]:
            self._lsns[-1] = lsn
            return
        if len(self._lsns) >= 2 and self._lsns[-1] == lsn == self._lsns[-2]:
            self._times[-1] = now  # an idle primary: only the first and the last time at one LSN matter
            return
        self._times.append(now)
        self._lsns.append(lsn)
        self._trim(now)

    def clear(self) -> None:
        self._times.clear()
        self._lsns.clear()

    @property
    def timeline(self) -> int | None:
        return self._timeline

    @property
    def newest(self) -> int | None:
        """The last known LSN of the primary."""
        return self._lsns[-1] if self._lsns else None

    def backlog_bytes(self, replay_lsn: int) -> int | None:
        """Bytes that the replica has still to replay; None without a history."""
        return None if not self._lsns else max(0, self._lsns[-1] - replay_lsn)

    def lag(self, replay_lsn: int, *, now: float) -> Lag | None:
        """True lag of a replica that has replayed up to `replay_lsn`; None without a history.

        Between two points the time is interpolated: WAL is taken as written evenly in between.
        """
        if not self._lsns:
            return None
        if replay_lsn >= self._lsns[-1]:
            return Lag(0.0)
        after = bisect_right(self._lsns, replay_lsn)
        if after == 0:
            return Lag(max(0.0, now - self._times[0]), at_least=True)
        low, high = self._lsns[after - 1], self._lsns[after]
        start, end = self._times[after - 1], self._times[after]
        stood_at = start + (end - start) * (replay_lsn - low) / (high - low)
        return Lag(max(0.0, now - stood_at))

    def begins(self, at: float) -> float:
        """`at`, or the time of the first point where that is later."""
        return max(at, self._times[0]) if self._times else at

    def rate_between(self, start: float, end: float) -> float | None:
        """WAL bytes per second between two times, interpolated; None outside the history."""
        if not self._times or start < self._times[0] or end <= start:
            return None
        return (self._position(end) - self._position(start)) / (end - start)

    def _position(self, at: float) -> float:
        after = bisect_right(self._times, at)
        if after == len(self._times):
            return float(self._lsns[-1])
        start, end = self._times[after - 1], self._times[after]
        low, high = self._lsns[after - 1], self._lsns[after]
        return low + (high - low) * (at - start) / (end - start)

    def _trim(self, now: float) -> None:
        if self._times[0] < now - HORIZON_S:
            first = bisect_right(self._times, now - HORIZON_S)
            del self._times[:first], self._lsns[:first]
        if len(self._times) > MAX_POINTS:
            half = len(self._times) // 2
            self._times[:half] = self._times[:half:2]
            self._lsns[:half] = self._lsns[:half:2]
