"""Rows per second as people want to see them."""

from __future__ import annotations

from math import exp

TIME_CONSTANT_S = 3.0
"""Long enough to smooth chunks of a tenth of a second, short enough to show a hold within a few seconds."""


class Rate:
    """Exponentially weighted rate over wall-clock time, sleeps included. `now` is monotonic seconds."""

    def __init__(self, *, now: float) -> None:
        self._last = now
        self._rows = 0.0
        self._seconds = 0.0
        self.value: float | None = None

    def add(self, rows: int, *, now: float) -> float | None:
        """Take in `rows` done since the last call; answers rows per second. Both sums fade alike, so the first
        moments of a job are not counted for more than they are."""
        elapsed = max(0.0, now - self._last)
        self._last = now
        fade = exp(-elapsed / TIME_CONSTANT_S)
        self._rows = self._rows * fade + rows
        self._seconds = self._seconds * fade + elapsed
        if self._seconds > 0:
            self.value = self._rows / self._seconds
        return self.value
