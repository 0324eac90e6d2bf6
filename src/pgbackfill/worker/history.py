"""The last hour of every job, in memory, for the charts of the status page. Bounded; lost with the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

INTERVAL_S: Final = 5.0
"""One point each: 720 of them are more than a chart has pixels for on a phone, and fewer than on a large screen."""

KEPT_S: Final = 3_600.0
POINTS_MOST: Final = int(KEPT_S / INTERVAL_S)

JOBS_MOST: Final = 50
"""720 points of ten numbers are about 250 kB a job; beyond this the job that was seen longest ago is forgotten."""

GAP_S: Final = 3 * INTERVAL_S
"""No rate is drawn over a longer time in which nobody looked: nobody knows when the rows were made."""


@dataclass(frozen=True, slots=True)
class Look:
    """One job at one moment; None: unknown, or there is none. `at` is seconds since 1970, as people's clocks show."""

    at: float
    rows_scanned: int
    chunk_rows: int | None = None
    chunk_ms: float | None = None
    sleep_ms: float | None = None
    hold: str | None = None
    """The first word of the reason, `paused` while the job is."""
    lag_s: float | None = None
    """Of the replica that is furthest behind; None where one of them is unknown, which is never healthy."""
    canary_read_s: float | None = None
    canary_write_s: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """`INTERVAL_S` seconds of a job; `at` is their end. Of signals the worst, of everything else the latest."""

    at: float
    rows_per_second: float | None
    chunk_rows: int | None
    chunk_ms: float | None
    sleep_ms: float | None
    hold: str | None
    lag_s: float | None
    canary_read_s: float | None
    canary_write_s: float | None


SERIES: Final = tuple(field.name for field in fields(Point))
_WORST: Final = ("lag_s", "canary_read_s", "canary_write_s")


class History:
    """Takes in looks in the order of their times; answers points, oldest first."""

    def __init__(self) -> None:
        self._jobs: dict[str, _JobHistory] = {}

    def add(self, job: str, look: Look) -> None:
        """Take in one look at a job."""
        history = self._jobs.pop(job, None) or _JobHistory()
        history.add(look)
        self._jobs[job] = history  # the last one is the one that was seen last
        if len(self._jobs) > JOBS_MOST:
            del self._jobs[next(iter(self._jobs))]

    def forget(self, job: str) -> None:
        """The job was deleted."""
        self._jobs.pop(job, None)

    def expire(self, now: float) -> None:
        """Forget the jobs that nobody has looked at for an hour."""
        for job in [job for job, history in self._jobs.items() if history.last_at < now - KEPT_S]:
            del self._jobs[job]

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    def points(self, job: str, *, now: float, since: float = 0.0) -> list[Point]:
        """Those of the last hour, after `since` (seconds since 1970)."""
        history = self._jobs.get(job)
        oldest = max(since, now - KEPT_S)
        return [point for point in history.points if point.at > oldest] if history is not None else []


class _JobHistory:
    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=POINTS_MOST)
        self._pending: list[Look] = []
        self._before: Look | None = None
        """The last look of the interval before, from which rows are counted."""

    @property
    def last_at(self) -> float:
        return self._pending[-1].at

    def add(self, look: Look) -> None:
        if self._pending and look.at // INTERVAL_S != self._pending[-1].at // INTERVAL_S:
            self.points.append(self._point())
            self._before = self._pending[-1]
            self._pending.clear()
        self._pending.append(look)

    def _point(self) -> Point:
        last = self._pending[-1]
        worst = {name: _worst([getattr(look, name) for look in self._pending]) for name in _WORST}
        holds = [look.hold for look in self._pending if look.hold is not None]
        return Point(
            at=last.at,
            rows_per_second=self._rate(last),
            chunk_rows=last.chunk_rows,
            chunk_ms=last.chunk_ms,
            sleep_ms=last.sleep_ms,
            hold=holds[-1] if holds else None,
            **worst,
        )

    def _rate(self, last: Look) -> float | None:
        before = self._before or self._pending[0]
        seconds = last.at - before.at
        if not 0 < seconds <= GAP_S:
            return None
        return max(0.0, (last.rows_scanned - before.rows_scanned) / seconds)


def _worst(values: list[float | None]) -> float | None:
    """None where one of them is: what was unknown for a part of the time was not healthy."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def columns(points: list[Point]) -> Mapping[str, list[Any]]:
    """The points series by series, rounded to what a chart can show."""
    return {name: [_rounded(getattr(point, name)) for point in points] for name in SERIES}


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
