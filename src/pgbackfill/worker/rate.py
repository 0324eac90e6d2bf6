"""Rows per second as people want to see them."""

from __future__ import annotations

from math import exp

TIME_CONSTANT_S = 3.0
"""Long enough to smooth chunks of a tenth of a second, short enough to show a hold within a few seconds."""


class Rate:
    """Exponentially weighted rate over wall-clock time, sleeps included. `now` is monotonic seconds."""

    def __init__(self, *, now: float) -> None:
        self._last = now
        self.value: float | None = None

    def add(self, rows: int, *, now: float) -> float | None:
        elapsed = now - self._last
        if elapsed <= 0:
            return self.value
        self._last = now
        weight = 1.0 - exp(-elapsed / TIME_CONSTANT_S)
        self.value = rows / elapsed if self.value is None else self.value + weight * (rows / elapsed - self.value)
        return self.value
