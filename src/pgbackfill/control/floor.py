"""The throughput floor: notices that a job makes far less of its running time than it once did."""

from __future__ import annotations

from dataclasses import dataclass

from pgbackfill.control.decision import ChunkSample, Outcome
from pgbackfill.control.options import PacingOptions

WINDOWS = 10
"""Judged in tenths of `throughput_floor_s`: each long against a chunk, short against the time until the job pauses."""

MEANINGFUL_S = 0.05
"""A shorter chunk (or one of less than half its target) was made small on purpose: by latency, a slow path, an option.

What its rows cost is hidden behind the round trips of a chunk, some 1 to 2 ms.
"""


@dataclass(slots=True)
class _Work:
    scanned: float = 0.0
    changed: float = 0.0
    seconds: float = 0.0


class Floor:
    """One per job in a daemon, for all its lanes.

    Only time in committed chunks counts: who is held, paused or throttled, or sleeps for the pace, is not slow. Rows
    that are scanned and rows that are changed cost differently, so each kind has a best rate of its own, and a window
    is as good as the better of its two. The time of a healthy chunk goes either mostly into scanning or mostly into
    changing, so one of its rates is at least half of what it could be, whatever part of the rows needs a change.
    """

    def __init__(self) -> None:
        self._shape: tuple[object, ...] = ()
        self._begin()

    def _begin(self) -> None:
        self._window = _Work()
        self._best = _Work(seconds=1.0)
        self._low_s = 0.0

    def finished(self, sample: ChunkSample, options: PacingOptions, *, lanes: int = 1) -> str | None:
        """Take in a chunk, made while so many lanes of this job run here; the reason to pause, or None."""
        shape = (options.chunk_target_ms, options.chunk_min_rows, options.chunk_max_rows, options.chunk_max_wal_bytes)
        if shape != self._shape:  # other chunks have other rates
            self._shape = shape
            self._begin()
        shortest = min(MEANINGFUL_S, options.chunk_target_ms / 2000)
        if sample.outcome is not Outcome.COMMITTED or sample.seconds < shortest or sample.at_end:
            return None
        window = self._window
        window.scanned += sample.rows_scanned
        window.changed += sample.rows_changed
        window.seconds += sample.seconds / max(1, lanes)  # lanes that share a server are slower, each for itself
        if window.seconds < options.throughput_floor_s / WINDOWS:
            return None
        self._window = _Work()
        return self._judge(window, options)

    def _judge(self, window: _Work, options: PacingOptions) -> str | None:
        best, seconds = self._best, window.seconds
        best.scanned = max(best.scanned, window.scanned / seconds)
        best.changed = max(best.changed, window.changed / seconds)
        scanned = window.scanned / seconds
        share = max(
            scanned / best.scanned if best.scanned else 1.0,
            window.changed / seconds / best.changed if best.changed else 0.0,
        )
        self._low_s = self._low_s + seconds if share < options.throughput_floor_ratio else 0.0
        if self._low_s < options.throughput_floor_s:
            return None
        once = scanned / share if share else best.scanned
        return f"throughput {scanned:.0f} rows/s < {100 * options.throughput_floor_ratio:g}% of {once:.0f} rows/s"
