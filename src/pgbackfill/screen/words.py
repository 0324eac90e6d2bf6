"""Numbers and times as people read them."""

from __future__ import annotations

from pgbackfill.durations import duration
from pgbackfill.screen.snapshot import Gauge, JobView, Unit

UNKNOWN = "unknown"
NOTHING = "-"


def reading(gauge: Gauge) -> str:
    """The gauge's value; a signal without one is said to be unknown."""
    if gauge.value is None and not gauge.signal:
        return NOTHING
    return quantity(gauge.value, gauge.unit)


def quantity(value: float | None, unit: Unit) -> str:
    """`18,430`, `3.4 ms`, `0.12 s`; rows need no unit beside their label. An unknown value is never a number."""
    if value is None:
        return UNKNOWN
    match unit:
        case Unit.ROWS | Unit.ROWS_PER_S:
            return f"{value:,.0f}"
        case Unit.MILLISECONDS:
            return f"{value:,.1f} ms" if value < 100 else f"{value:,.0f} ms"
        case Unit.SECONDS:
            return f"{value:.2f} s" if value < 10 else f"{value:,.1f} s"


def remaining(job: JobView) -> str | None:
    """`8 s to 12 s left`; None where no estimate exists."""
    low, high = job.eta_low_s, job.eta_high_s
    if low is None or high is None:
        return None
    first, last = duration(low), duration(high)
    return f"{first} left" if first == last else f"{first} to {last} left"


def hold(job: JobView) -> str | None:
    """`held for 3 s: replica_lag 6.2s > 5s (replica-b)`; None where nothing holds the job."""
    if job.hold_reason is None:
        return None
    since = "" if job.held_s is None else f" for {duration(job.held_s)}"
    return f"held{since}: {job.hold_reason}"
