"""The circuit breaker: too many failures in a row are no matter of single rows, and a person should look."""

from __future__ import annotations

from pgbackfill.control.options import PacingOptions
from pgbackfill.database.failures import first_line

FAILED_MAX = 50
"""Failed chunks in a row: three times what it takes to halve the largest chunk (50,000 rows) down to one row."""

QUARANTINED_MIN = 10
QUARANTINED_SHARE = 4
"""Rows set aside in a row: a quarter of what the job accepts in all. Who raises `max_quarantined` expects clusters."""


class Breaker:
    """Counts what failed since the last success. Each method answers the reason once the breaker trips, else None."""

    def __init__(self) -> None:
        self._failed = 0
        self._quarantined = 0

    def committed(self, changed: int) -> None:
        self._failed = 0
        if changed:
            self._quarantined = 0

    def failed(self, error: Exception, *, held: bool) -> str | None:
        """A chunk was rolled back. One that is `held`, by a lock on its only row, may wait for as long as it takes."""
        if held:
            return None
        self._failed += 1
        return self._trip(error, f"{self._failed} chunks in a row failed") if self._failed >= FAILED_MAX else None

    def quarantined(self, error: Exception, options: PacingOptions) -> str | None:
        """A row was set aside."""
        self._failed = 0
        self._quarantined += 1
        limit = max(QUARANTINED_MIN, options.max_quarantined // QUARANTINED_SHARE)
        if self._quarantined < limit:
            return None
        return self._trip(error, f"{self._quarantined} rows in a row could not be changed")

    def _trip(self, error: Exception, what: str) -> str:
        self._failed = self._quarantined = 0
        return f"circuit_breaker {what}, the last: {first_line(error)} ({getattr(error, 'sqlstate', 'no SQLSTATE')})"
