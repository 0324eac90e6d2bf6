"""When which heartbeat was written, so that the newest one that a replica shows says how far behind it is.

Clocks of two servers are never compared: a beat is known by its timestamp on the primary and timed by ours.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime

BEATS_MAX = 3600
"""An hour at one a second; a replica that is further behind is at least so far behind, and long since held."""


class Beats:
    """`now` is monotonic seconds, taken after the beat's commit."""

    def __init__(self) -> None:
        self._stamps: list[datetime] = []
        self._times: list[float] = []

    def written(self, stamp: datetime, *, now: float) -> None:
        """A beat was committed. A stamp that goes back (failover, clock set) starts anew."""
        if self._stamps and stamp <= self._stamps[-1]:
            self._stamps.clear()
            self._times.clear()
        self._stamps.append(stamp)
        self._times.append(now)
        if len(self._stamps) > BEATS_MAX:
            del self._stamps[0], self._times[0]

    def lag(self, seen: datetime | None, *, now: float) -> float | None:
        """Seconds since the first beat that a replica has not got which shows `seen`; None: no beat yet."""
        if not self._stamps:
            return None
        missing = 0 if seen is None else bisect_right(self._stamps, seen)
        return 0.0 if missing == len(self._stamps) else max(0.0, now - self._times[missing])
