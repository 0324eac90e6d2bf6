"""Everything that one frame shows. Nothing here knows a terminal or a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """How a number is written."""

    ROWS = "rows"
    ROWS_PER_S = "rows/s"
    MILLISECONDS = "ms"
    SECONDS = "s"


@dataclass(frozen=True, slots=True)
class Gauge:
    """One quantity over time, oldest value first; None where there is no value. Limits are in the same unit.

    A `signal` without a value is unknown, which is never healthy; other quantities have none while nothing runs.
    """

    label: str
    unit: Unit
    history: Sequence[float | None]
    soft: float | None = None
    hard: float | None = None
    signal: bool = False

    @property
    def value(self) -> float | None:
        """The newest."""
        return self.history[-1] if self.history else None


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as `pgbackfill.progress` tells it; None where that says nothing yet. Times are seconds from now."""

    name: str
    status: str
    percent: float | None
    rows_scanned: int
    rows_estimated: int | None
    rows_quarantined: int = 0
    eta_low_s: float | None = None
    eta_high_s: float | None = None
    hold_reason: str | None = None
    held_s: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One frame: a job, its gauges, what happened lately (newest note last), and what keys do."""

    elapsed_s: float
    job: JobView
    gauges: Sequence[Gauge]
    notes: Sequence[str] = ()
    footer: Sequence[str] = ()
