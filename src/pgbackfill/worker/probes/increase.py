"""How much a counter has grown of late."""

from __future__ import annotations

from collections import deque


class Increase:
    """Over the last `window_s` seconds; a counter that went back was reset, and counts from there."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._steps: deque[tuple[float, float]] = deque()
        self._last: float | None = None

    def value(self, counter: float, *, now: float) -> float:
        if self._last is not None and counter != self._last:
            self._steps.append((now, counter - self._last if counter > self._last else counter))
        self._last = counter
        while self._steps and self._steps[0][0] <= now - self._window_s:
            self._steps.popleft()
        return sum(step for _, step in self._steps)
