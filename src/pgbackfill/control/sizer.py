"""The size of the next chunk: follows the chunk's own time and WAL toward their targets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pgbackfill.control.decision import ChunkSample, Outcome
from pgbackfill.control.gaps import Gaps
from pgbackfill.control.options import PacingOptions

FIRST_CHUNK_ROWS = 500
"""Some 2 ms of plain rows and 0.5 s of rows that cost 1 ms each: harmless, and six chunks away from any target."""

DEAD_BAND = 0.1
"""Within 10 % of the target nothing changes, so that the statement text stays the same and stays prepared."""

FAR_RATIO = 1.5
"""Nearer to the target than this, steps are square roots: the noise of one chunk moves the size half as much."""

GROWTH_MAX = 2.0
RAMP_FACTOR_MAX = 4.0
RAMP_RATIO = 8.0
"""A chunk grows at most twofold; fourfold while it is still eight times too small (500 to 25,000 rows in five)."""

CUT_MIN = 0.1
"""One chunk cuts the size at most tenfold: a stall of the disk is not a property of the rows."""

SHORT_CUT_MIN = 0.5
"""A chunk at the end of a range has few rows, so its time says little about a row."""

DENSE_SHARE = 0.1
DENSE_FACTOR = 2.0
"""Where few rows need a change, chunks are fast and grow without end, and then meet the next dense stretch.

Once rows were seen of which a tenth or more changed, a chunk is at most twice what it could be if all rows did.
"""

UNKNOWN_ROW_WAL_BYTES = 8192.0
"""Before the first chunk a row is taken to write a whole page, the most that is usual (UUID keys: 3,400 to 6,000)."""

FASTEST_CHUNK_S = 1e-4
"""Below this, times are rounding; keeps the arithmetic finite."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits on the next chunk from outside: share of the target time, WAL bytes, rows."""

    time_ratio: float = 1.0
    wal_bytes: float = math.inf
    rows: float = math.inf


class ChunkSizer:
    """Decides rows per chunk. Sizes are rounded down to two significant digits."""

    def __init__(self, options: PacingOptions) -> None:
        self._options = options
        self._size = float(min(max(FIRST_CHUNK_ROWS, options.chunk_min_rows), options.chunk_max_rows))
        self._wal_per_row: float | None = None
        self._caps = Caps()
        self._suspects = 0
        self._gaps = Gaps()
        self._dense_rows = math.inf

    def update(self, options: PacingOptions) -> None:
        """Replace the options; they apply to the next chunk."""
        self._options = options
        self._size = min(self._size, float(options.chunk_max_rows))
        if not self._suspects:
            self._size = max(self._size, float(options.chunk_min_rows))

    def cap(self, caps: Caps) -> None:
        """Limit the next chunks from outside; the size that was learned is kept for when the cap is lifted."""
        self._caps = caps

    def rows(self) -> int:
        """Rows to ask for, at least 1."""
        if self._suspects:
            return max(1, min(math.ceil(self._suspects / 2), int(self._size)))
        limit = min(self._size, self._caps.rows, self._gaps.limit)
        if math.isfinite(self._caps.wal_bytes):
            per_row = UNKNOWN_ROW_WAL_BYTES if self._wal_per_row is None else self._wal_per_row
            limit = min(limit, self._caps.wal_bytes / max(per_row, 1.0))
        return two_digits(limit)

    def observe(self, sample: ChunkSample) -> None:
        """Learn from a finished chunk. Lost and failed ones teach nothing."""
        if sample.outcome is Outcome.COMMITTED:
            self._suspects = max(0, self._suspects - sample.rows_scanned)
            self._gaps.good(sample.rows_scanned)
            self._committed(sample)
        elif sample.outcome is Outcome.RETRY:
            self._suspects = 0 if sample.rows_asked <= 1 else self._suspects
            self._size = max(1.0, min(self._size, sample.rows_asked / 2))
        elif sample.outcome is Outcome.POISON:
            # The bad row is among the first rows_asked after the cursor; one that failed alone is dealt with.
            within = min(sample.rows_asked, self._suspects or sample.rows_asked)
            self._suspects = within if sample.rows_asked > 1 else 0
            if sample.rows_asked == 1:
                self._gaps.bad()

    def _committed(self, sample: ChunkSample) -> None:
        if sample.rows_scanned <= 0:
            return
        per_row = sample.wal_bytes / sample.rows_scanned
        # Upward at once, downward slowly: the cap from outside must hold for the next dense stretch as well.
        known = per_row if self._wal_per_row is None else self._wal_per_row
        self._wal_per_row = max(per_row, 0.8 * known + 0.2 * per_row)
        ratio = self._ratio(sample)
        wanted = sample.rows_scanned * _step(ratio)
        if sample.rows_changed >= DENSE_SHARE * sample.rows_scanned:
            affordable = DENSE_FACTOR * sample.rows_changed * ratio
            first = math.isinf(self._dense_rows)
            self._dense_rows = affordable if first else 0.7 * self._dense_rows + 0.3 * affordable
        full = not sample.at_end and 2 * sample.rows_scanned >= sample.rows_asked
        current = sample.rows_asked == self.rows() or sample.rows_asked >= self._size
        if ratio < 1 - DEAD_BAND:
            least = self._size * (CUT_MIN if full else SHORT_CUT_MIN)
            floor = min(self._size, float(self._options.chunk_min_rows))
            self._size = max(min(self._size, max(wanted, least)), floor, 1.0)
        elif ratio > 1 + DEAD_BAND and full and current and not self._suspects and not self._capped():
            most = min(float(self._options.chunk_max_rows), self._dense_rows)
            self._size = max(self._size, min(max(wanted, sample.rows_asked + 1), most))

    def _ratio(self, sample: ChunkSample) -> float:
        """Target over observed, the tighter of time and WAL; above 1 the chunk may grow."""
        seconds = max(sample.seconds, FASTEST_CHUNK_S)
        ratio = self._options.chunk_target_ms / 1000 * self._caps.time_ratio / seconds
        if sample.wal_bytes > 0:
            ratio = min(ratio, self._options.chunk_max_wal_bytes / sample.wal_bytes)
        return ratio

    def _capped(self) -> bool:
        return self.rows() < two_digits(self._size)


def _step(ratio: float) -> float:
    """The factor by which one chunk moves the size."""
    if 1 / FAR_RATIO <= ratio <= FAR_RATIO:
        return math.sqrt(ratio)
    if ratio > RAMP_RATIO:
        return RAMP_FACTOR_MAX
    return min(ratio, GROWTH_MAX)


def two_digits(value: float) -> int:
    """`value` rounded down to two significant digits, at least 1."""
    whole = max(1, int(min(value, 1e15)))
    scale: int = 10 ** max(0, len(str(whole)) - 2)
    return whole // scale * scale
