"""What was seen during the demonstration, for the screen, the summary and the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

# The foreground's p99 on the screen and in the picture: over the last 2 s, which at 200 a second are 400 latencies.
WINDOW_S = 2.0
WORKING = ("running", "paused", "verifying")


@dataclass(frozen=True, slots=True)
class Point:
    """One look at everything; `at_s` since the demonstration's own zero. None: unknown or not yet."""

    at_s: float
    status: str
    percent: float | None
    rows_scanned: int
    rows_estimated: int | None
    rows_quarantined: int
    rows_per_s: float | None
    chunk_rows: float | None
    chunk_ms: float | None
    sleep_ms: float | None
    eta_low_s: float | None
    eta_high_s: float | None
    hold_reason: str | None
    held_s: float | None
    lag_s: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in seconds."""

    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


@dataclass
class Recording:
    """Everything that was seen, oldest first."""

    points: list[Point] = field(default_factory=list)
    latencies_ms: list[tuple[float, float]] = field(default_factory=list)
    """(when, milliseconds) of each foreground transaction."""
    lags_s: list[tuple[float, float]] = field(default_factory=list)
    """(when, seconds): more of them than points, so that no peak is missed."""
    notes: list[str] = field(default_factory=list)
    slow_link: list[Span] = field(default_factory=list)

    _added: anyio.Event = field(default_factory=anyio.Event)

    def add(self, point: Point) -> None:
        """Append, and wake whoever waits in `until`."""
        self.points.append(point)
        added, self._added = self._added, anyio.Event()
        added.set()

    async def until(self, wanted: Callable[[Point], bool]) -> Point:
        """The first point from now on, the present one included, that is wanted."""
        while not self.points or not wanted(self.points[-1]):
            await self._added.wait()
        return self.points[-1]

    def p99_ms(self, span: Span) -> float | None:
        """Of the foreground within that time."""
        return percentile([ms for at, ms in self.latencies_ms if span.start_s <= at <= span.end_s], 0.99)

    def recent_p99_ms(self, now_s: float) -> float | None:
        recent: list[float] = []
        for at, ms in reversed(self.latencies_ms):
            if at < now_s - WINDOW_S:
                break
            recent.append(ms)
        return percentile(recent, 0.99)

    def max_lag_s(self, span: Span) -> float | None:
        return max((lag for at, lag in self.lags_s if span.start_s <= at <= span.end_s), default=None)

    def job(self) -> Span:
        """From the first point at which the job ran to the first at which it no longer did."""
        ran = [point.at_s for point in self.points if point.status in WORKING]
        if not ran:
            return Span(self.points[-1].at_s, self.points[-1].at_s)
        end_s = next((point.at_s for point in self.points if point.at_s > ran[-1]), ran[-1])
        return Span(ran[0], end_s)

    def holds(self) -> list[Span]:
        """When the job was held, to the resolution of the points."""
        spans: list[Span] = []
        start_s: float | None = None
        for point in self.points:
            if point.hold_reason is not None and start_s is None:
                start_s = point.at_s
            elif point.hold_reason is None and start_s is not None:
                spans.append(Span(start_s, point.at_s))
                start_s = None
        if start_s is not None:
            spans.append(Span(start_s, self.points[-1].at_s))
        return spans


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of them do not exceed; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
