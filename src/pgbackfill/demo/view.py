"""A recording as a frame of the screen."""

from __future__ import annotations

from collections.abc import Callable

from pgbackfill.demo.recording import Point, Recording
from pgbackfill.demo.shop import JOB, OPTIONS
from pgbackfill.screen import Gauge, JobView, Snapshot, Unit

# Points of a sparkline: one every 0.4 s, so that the screen shows the last 15 to 20 s.
STRIDE = 2


def snapshot(recording: Recording, elapsed_s: float) -> Snapshot:
    """The recording's newest point, and what led to it."""
    point = recording.points[-1]
    job = JobView(
        name=JOB,
        status=point.status,
        percent=point.percent,
        rows_scanned=point.rows_scanned,
        rows_estimated=point.rows_estimated,
        rows_quarantined=point.rows_quarantined,
        eta_low_s=point.eta_low_s,
        eta_high_s=point.eta_high_s,
        hold_reason=point.hold_reason,
        held_s=point.held_s,
    )
    shown = recording.points[::-STRIDE][::-1]

    def series(read: Callable[[Point], float | None]) -> list[float | None]:
        return [read(each) for each in shown]

    gauges = (
        Gauge("rows/s", Unit.ROWS_PER_S, series(lambda p: p.rows_per_s)),
        Gauge("chunk rows", Unit.ROWS, series(lambda p: p.chunk_rows)),
        Gauge("sleep", Unit.MILLISECONDS, series(lambda p: p.sleep_ms)),
        Gauge(
            "replica lag",
            Unit.SECONDS,
            series(lambda p: p.lag_s),
            soft=OPTIONS["lag_soft_s"],
            hard=OPTIONS["lag_hard_s"],
            signal=True,
        ),
        Gauge("foreground p99", Unit.MILLISECONDS, series(lambda p: p.p99_ms), signal=True),
    )
    return Snapshot(elapsed_s, job, gauges, tuple(recording.notes))
