"""Turns what the database says of a job, look by look, into frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pgbackfill.screen.render import WIDEST
from pgbackfill.screen.snapshot import Gauge, JobView, Snapshot, Unit

Row = Mapping[str, Any]
Signals = Sequence[Mapping[str, Any]]


class Trace:
    """One job while somebody looks at it. Remembers as many looks as a sparkline has room for."""

    def __init__(self) -> None:
        self._looks: deque[tuple[Row, Signals | None]] = deque(maxlen=WIDEST)

    def add(self, row: Row, signals: Signals | None) -> None:
        """Take in the job's row of `pgbackfill.progress`, and what the daemons see (None: this login may not know)."""
        self._looks.append((row, signals))

    def snapshot(self, at: datetime, notes: Sequence[str], footer: Sequence[str]) -> Snapshot:
        """The newest look and what led to it. `at` is now."""
        row, signals = self._looks[-1]
        began = row["started_at"]
        until = row["finished_at"] or at
        elapsed_s = max(0.0, (until - began).total_seconds()) if began is not None else 0.0
        return Snapshot(elapsed_s, _view(row, at), self._gauges(row, signals), notes, footer)

    def _gauges(self, row: Row, signals: Signals | None) -> list[Gauge]:
        gauges = [
            Gauge("rows/s", Unit.ROWS_PER_S, self._series(_rate)),
            Gauge("chunk rows", Unit.ROWS, self._series(lambda row: row["chunk_rows"])),
            Gauge("chunk time", Unit.MILLISECONDS, self._series(lambda row: row["chunk_ms"])),
            Gauge("sleep", Unit.MILLISECONDS, self._series(lambda row: row["sleep_ms"])),
        ]
        for name, label, unit, scale in (
            ("replica_lag", "replica lag", Unit.SECONDS, 1),
            ("canary_read", "read latency", Unit.MILLISECONDS, 1_000),
            ("canary_write", "write latency", Unit.MILLISECONDS, 1_000),
        ):
            found = worst(signals, name)
            if found is not None:
                values = [_scaled(_value(worst(seen, name)), scale) for _, seen in self._looks]
                soft, hard = _scaled(found["soft"], scale), _scaled(found["hard"], scale)
                gauges.append(Gauge(label, unit, values, soft, hard, signal=True))
        return gauges

    def _series(self, read: Callable[[Row], float | None]) -> list[float | None]:
        return [read(row) if row["status"] == "running" else None for row, _ in self._looks]


def worst(signals: Signals | None, name: str) -> Mapping[str, Any] | None:
    """Of several replicas and daemons the one with the largest value; one that is unknown before all others."""
    found = [signal for signal in signals or () if signal["name"] == name]
    unknown = [signal for signal in found if _value(signal) is None]
    return unknown[0] if unknown else max(found, key=lambda signal: signal["value"], default=None)


def _value(signal: Mapping[str, Any] | None) -> float | None:
    return None if signal is None or signal["level"] == "unknown" else signal["value"]


def _scaled(value: float | None, scale: int) -> float | None:
    return None if value is None else value * scale


def _rate(row: Row) -> float | None:
    return 0.0 if row["hold_reason"] is not None else row["rows_per_second"]


def _view(row: Row, at: datetime) -> JobView:
    def seconds(name: str) -> float | None:
        return row[name].total_seconds() if row[name] is not None else None

    return JobView(
        name=row["name"],
        status=row["status"],
        percent=row["percent"],
        rows_scanned=row["rows_scanned"],
        rows_estimated=row["rows_estimated"],
        rows_quarantined=row["rows_quarantined"],
        eta_low_s=seconds("eta_low"),
        eta_high_s=seconds("eta_high"),
        hold_reason=row["hold_reason"],
        held_s=(at - row["hold_since"]).total_seconds() if row["hold_since"] is not None else None,
    )
