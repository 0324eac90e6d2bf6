"""The Prometheus registry of one process. Names and labels are a contract: extend, never rename."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from pgbackfill import __version__
from pgbackfill.control.decision import ChunkSample, Outcome
from pgbackfill.jobs.states import Status

# Around chunk_target_ms (0.1 s), finer below it than above.
CHUNK_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

NOTIFICATION_OUTCOMES: Final = ("sent", "retry", "given_up")

# Labels take their values from people's job names and signals; more than this many of one kind and a monitoring
# system suffers. Jobs beyond it have no series of their own, other values count as "other".
MOST_VALUES: Final = 100


class Metrics:
    """Counts what happens and renders it. Plain methods, cheap enough to be called at every chunk."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.refresh: Callable[[], None] = lambda: None
        """Called by `render`: gauges of what changes ten times a second are set when somebody looks."""
        self._values: dict[str, set[str]] = {}
        self._holds: dict[str, set[str]] = {}
        self._held_reasons: set[str] = set()

        self._rows_scanned = self._counter("rows_scanned", "Rows that chunks looked at")
        self._rows_changed = self._counter("rows_changed", "Rows that chunks changed")
        self._rows_quarantined = self._counter("rows_quarantined", "Rows that could not be changed and were set aside")
        self._chunks = self._counter("chunks", "Chunks by how they ended", "outcome")
        self._chunk_duration = Histogram(
            "pgbackfill_chunk_duration_seconds",
            "Duration of a chunk's transaction",
            registry=self.registry,
            buckets=CHUNK_BUCKETS_S,
        )
        self._chunk_rows = self._gauge("chunk_rows", "Rows asked for in the last chunk")
        self._sleep = self._counter("sleep_seconds", "Time slept between chunks to keep the pace, holds not included")
        self._held = self._counter("held_seconds", "Time in which a job was held", "reason")
        self._hold = self._gauge("hold", "1 while some job is held for this reason", "reason")
        self._signal_value = self._gauge("signal_value", "Last value of a signal; NaN where it is unknown", "signal")
        self._signal_limit = self._gauge("signal_limit", "Limits of a signal", "signal", "level")
        self._signal_age = self._gauge("signal_age_seconds", "Age of a signal's last value", "signal")
        self._replica_lag = self._gauge("replica_lag_seconds", "True lag of a replica; NaN where unknown", "replica")
        self._replica_backlog = self._gauge("replica_backlog_bytes", "WAL that a replica has not replayed", "replica")
        self._pace = self._gauge("pace_wal_bytes_per_second", "WAL that chunks may write; +Inf where not limited")
        self._capacity = self._gauge("capacity_wal_bytes_per_second", "What the replicas can take; NaN while unknown")
        self._wal = self._counter("wal_bytes", "WAL that chunks wrote")
        self._progress = self._gauge("progress_ratio", "Share of a job that is done", "job")
        self._eta = self._gauge("eta_seconds", "Time until a job ends, lower and upper bound", "job", "bound")
        self._status = self._gauge("job_status", "1 for the status that a job has", "job", "status")
        self._throttle = self._gauge("throttle_ratio", "Share of its pace that a job makes; 1: not throttled", "job")
        self._retries = self._counter("retries", "Chunks that were rolled back and tried again", "sqlstate")
        self._notifications = self._counter("notifications", "Attempts to tell a webhook, by how they ended", "outcome")

        for outcome in Outcome:
            self._chunks.labels(outcome.value)  # present from the start, so that rate() sees the first increase
        for ended in NOTIFICATION_OUTCOMES:
            self._notifications.labels(ended)
        self._pace.set(math.inf)
        self._capacity.set(math.nan)
        Info("pgbackfill_build", "Version of this process", registry=self.registry).info(
            {"version": __version__, "python": platform.python_version()}
        )
        ProcessCollector(registry=self.registry)

    def chunk(self, job: str, sample: ChunkSample, *, slept_s: float) -> None:
        """A chunk ended; `slept_s` seconds of ordinary sleep went before it. Rows count only where it committed."""
        self._chunks.labels(sample.outcome.value).inc()
        self._chunk_duration.observe(sample.seconds)
        self._chunk_rows.set(sample.rows_asked)
        self._sleep.inc(max(slept_s, 0.0))
        self._wal.inc(max(sample.wal_bytes, 0))  # a rolled-back chunk's WAL reaches the replicas as well
        if sample.outcome is Outcome.COMMITTED:
            self._rows_scanned.inc(sample.rows_scanned)
            self._rows_changed.inc(sample.rows_changed)

    def quarantined(self, job: str, rows: int = 1) -> None:
        """Rows of a job were set aside."""
        self._rows_quarantined.inc(rows)

    def retry(self, sqlstate: str) -> None:
        """A chunk was rolled back with this SQLSTATE and will be tried again."""
        self._retries.labels(self._bounded("sqlstate", sqlstate)).inc()

    def notification(self, outcome: str) -> None:
        """An attempt to tell a webhook ended as one of NOTIFICATION_OUTCOMES."""
        self._notifications.labels(outcome).inc()

    def hold(self, job: str, *reasons: str | None) -> None:
        """Every reason for which the job, or a lane of it, is held now, none where nothing holds it.

        The first word of a reason is the label.
        """
        held = {self._bounded("reason", first_word(reason)) for reason in reasons if reason is not None}
        self._holds[job] = held
        if not held:
            del self._holds[job]
        self._held_reasons |= held
        now = set().union(*self._holds.values())
        for known in self._held_reasons:
            self._hold.labels(known).set(known in now)

    def held_seconds(self, reason: str, seconds: float) -> None:
        """A job was held for so long; called while the hold lasts as well, so that the counter moves."""
        self._held.labels(self._bounded("reason", first_word(reason))).inc(max(seconds, 0.0))

    def signal(
        self, name: str, value: float | None, soft: float | None, hard: float | None, age_s: float | None
    ) -> None:
        """A signal's last value (None: unknown), its limits and its age (None: never read, which is infinitely old)."""
        label = self._bounded("signal", name)
        self._signal_value.labels(label).set(math.nan if value is None else value)
        for level, limit in (("soft", soft), ("hard", hard)):
            if limit is not None:
                self._signal_limit.labels(label, level).set(limit)
        self._signal_age.labels(label).set(math.inf if age_s is None else age_s)

    def forget_signal(self, name: str) -> None:
        """The signal is no longer watched."""
        self._signal_value.remove_by_labels({"signal": name})
        self._signal_limit.remove_by_labels({"signal": name})
        self._signal_age.remove_by_labels({"signal": name})
        self._values.get("signal", set()).discard(name)

    def replica(self, name: str, lag_s: float | None, backlog_bytes: float | None) -> None:
        """Lag and backlog of a replica; None is unknown, which is not the same as none."""
        label = self._bounded("replica", name)
        self._replica_lag.labels(label).set(math.nan if lag_s is None else lag_s)
        self._replica_backlog.labels(label).set(math.nan if backlog_bytes is None else backlog_bytes)

    def forget_replica(self, name: str) -> None:
        """The replica was taken away on purpose."""
        self._replica_lag.remove_by_labels({"replica": name})
        self._replica_backlog.remove_by_labels({"replica": name})
        self._values.get("replica", set()).discard(name)

    def pace(self, wal_bytes_per_s: float | None, capacity: float | None) -> None:
        """WAL that chunks may write (None: as much as they can) and what replicas can take (None: unknown yet)."""
        self._pace.set(math.inf if wal_bytes_per_s is None else wal_bytes_per_s)
        self._capacity.set(math.nan if capacity is None else capacity)

    def job(
        self, name: str, status: str, progress_ratio: float | None, eta_low_s: float | None, eta_high_s: float | None
    ) -> None:
        """Where a job stands; None is unknown. Jobs beyond MOST_VALUES have no series until others are forgotten."""
        known = self._values.setdefault("job", set())
        if name not in known and len(known) >= MOST_VALUES:
            return
        known.add(name)
        for each in Status:
            self._status.labels(name, each.value).set(each.value == status)
        self._progress.labels(name).set(math.nan if progress_ratio is None else progress_ratio)
        for bound, value in (("low", eta_low_s), ("high", eta_high_s)):
            self._eta.labels(name, bound).set(math.nan if value is None else value)

    def throttle(self, name: str, ratio: float) -> None:
        """The share of its pace that people leave a job; call `job` for it as well."""
        if name in self._values.get("job", ()):
            self._throttle.labels(name).set(ratio)

    def forget(self, job: str) -> None:
        """Removes a finished job's series and whatever hold it had."""
        self.hold(job, None)
        for metric in (self._status, self._progress, self._eta, self._throttle):
            metric.remove_by_labels({"job": job})
        self._values.get("job", set()).discard(job)

    def render(self) -> tuple[bytes, str]:
        """The exposition and its content type."""
        self.refresh()
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _bounded(self, kind: str, value: str) -> str:
        known = self._values.setdefault(kind, set())
        if value in known or len(known) < MOST_VALUES:
            known.add(value)
            return value
        return "other"

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"pgbackfill_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"pgbackfill_{name}", text, labels, registry=self.registry)


def first_word(reason: str) -> str:
    """The label of a hold: `replica_lag` of `replica_lag 6.2s > 5s (replica-b)`."""
    match = re.match(r"\w+", reason)
    return match.group(0).lower() if match else "other"
