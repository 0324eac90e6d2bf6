"""The controller of one lane of one job: asks the governor and the sizer, says run or wait."""

from __future__ import annotations

from pgbackfill.control.bucket import Bucket
from pgbackfill.control.decision import ChunkSample, Decision, Outcome, RunChunk, Wait
from pgbackfill.control.governor import Governor
from pgbackfill.control.holds import Hold
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.sizer import Caps, ChunkSizer

HOLD_POLL_S = 0.1
"""How soon to ask again while held: the interval at which replicas are polled."""

WAIT_MAX_S = 0.1
"""Longer sleeps are cut into pieces of one poll, so that a new reading, a pause or another option acts at once."""

BUDGET_S = 1.0
"""A chunk may cost at most this much of a rate limit, so that a small limit gives small chunks, not long gaps."""


class Controller:
    """One per job and lane. `now` is monotonic seconds; every method may be called again at the same `now`."""

    def __init__(self, governor: Governor, options: PacingOptions) -> None:
        self._governor = governor
        self._options = options
        self._sizer = ChunkSizer(options)
        self._wal = Bucket()
        self._rows = Bucket()
        self._lanes = 1
        self._throttle = 1.0
        self._began_at = float("-inf")
        self._cycle_s = 0.0
        self._ready_at = float("-inf")
        self._slept = 0.0
        self._sleeping_since: float | None = None
        self.hold: Hold | None = None
        """Why nothing runs, as of the last `next`."""
        self.sleep_seconds = 0.0
        """The ordinary sleep before the last chunk, time held not included."""

    @property
    def rows(self) -> int:
        """Rows that the next chunk asks for."""
        return self._sizer.rows()

    def update(self, options: PacingOptions) -> None:
        """Replace the job's options; they act from the next decision on."""
        self._options = options
        self._sizer.update(options)
        self._sizer.cap(self._budget())

    def set_lanes(self, total: int) -> None:
        """Live lanes of this job, of all daemons: its limits on WAL and rows are divided by them."""
        self._lanes = max(1, total)

    def throttle(self, ratio: float) -> None:
        """Make this share (above 0, to 1) of what would be made: acts at once, on a sleep that has begun as well."""
        self._throttle = ratio

    def next(self, *, now: float) -> Decision:
        """Run a chunk now, or wait and ask again."""
        if self._sleeping_since is not None:
            self._slept += max(0.0, now - self._sleeping_since)
            self._sleeping_since = None
        self.hold = self._governor.hold(self._options, now=now)
        if self.hold is not None:
            return Wait(HOLD_POLL_S, self.hold.reason)
        seconds = max(
            self._ready_at - now,
            self._began_at + self._cycle_s / self._throttle - now if self._throttle < 1 else 0.0,
            self._governor.wait_s(self._options, now=now),
            self._wal.wait_s(self._wal_limit, now=now),
            self._rows.wait_s(self._rows_limit, now=now),
        )
        if seconds > 0 and now + seconds > now:
            self._sleeping_since = now
            return Wait(min(seconds, WAIT_MAX_S))
        self.sleep_seconds, self._slept = self._slept, 0.0
        self._sizer.cap(self._caps(now))
        return RunChunk(self._sizer.rows())

    def finished(self, sample: ChunkSample, *, now: float) -> None:
        """Take in what a chunk cost. Time in which the job was held is in no sample and counts nowhere."""
        seconds = max(0.0, sample.seconds)
        self._sizer.observe(sample)
        self._governor.spent(sample.wal_bytes, seconds, self._options, now=now, throttle=self._throttle)
        since = now - seconds - max(0.0, sample.outside_s)
        self._wal.spend(sample.wal_bytes, self._wal_limit, since=since, now=now)
        if sample.outcome is Outcome.COMMITTED:
            self._rows.spend(sample.rows_scanned, self._rows_limit, since=since, now=now)
        duty = min(self._options.duty_max, self._governor.speed(self._options, now=now))
        self._ready_at = now + seconds * (1.0 / duty - 1.0)
        # What one chunk and its sleep take at full pace, whichever limit is the tightest; a throttle stretches it.
        self._began_at = since
        self._cycle_s = max(
            seconds / duty + max(0.0, sample.outside_s),
            self._governor.cycle_s(sample.wal_bytes, self._options, now=now),
            sample.wal_bytes / self._wal_limit if self._wal_limit else 0.0,
            sample.rows_scanned / self._rows_limit if self._rows_limit else 0.0,
        )

    def _caps(self, now: float) -> Caps:
        governed, budget = self._governor.caps(self._options, now=now), self._budget()
        return Caps(governed.time_ratio, min(governed.wal_bytes, budget.wal_bytes), budget.rows)

    def _budget(self) -> Caps:
        infinite = float("inf")
        return Caps(wal_bytes=BUDGET_S * (self._wal_limit or infinite), rows=BUDGET_S * (self._rows_limit or infinite))

    @property
    def _wal_limit(self) -> float | None:
        limit = self._options.max_wal_bytes_per_s
        return None if limit is None else limit / self._lanes

    @property
    def _rows_limit(self) -> float | None:
        limit = self._options.max_rows_per_s
        return None if limit is None else limit / self._lanes
