"""The circuit breaker: too many failures in a row are no matter of single rows, and a person should look."""

from __future__ import annotations

from dataclasses import dataclass

from pgbackfill.control.options import PacingOptions
from pgbackfill.database.failures import first_line

FAILED_MAX = 50
"""Failed chunks in a row: three times what it takes to halve the largest chunk (50,000 rows) down to one row."""

QUARANTINED_MIN = 10
QUARANTINED_SHARE = 4
"""Rows set aside in a row: a quarter of what the job accepts in all. Who raises `max_quarantined` expects clusters."""


@dataclass(slots=True)
class Streak:
    """What failed on one lane since its last success. The lane keeps it when it goes on to the next range."""

    failed: int = 0
    quarantined: int = 0


class Breaker:
    """One per job in a daemon, for all its lanes. What fails answers the reason once the breaker trips, else None.

    Failed chunks are counted lane by lane: several lanes that halve their way down at the same time are no storm. Rows
    that were set aside are also counted for all lanes together, since any of them last changed a row: each may be the
    last of a short range.
    """

    def __init__(self) -> None:
        self._quarantined = 0

    def committed(self, streak: Streak, changed: int) -> None:
        streak.failed = 0
        if changed:
            streak.quarantined = self._quarantined = 0

    def failed(self, streak: Streak, error: Exception, *, held: bool) -> str | None:
        """A chunk was rolled back. One that is `held`, by a lock on its only row, may wait for as long as it takes."""
        if held:
            return None
        streak.failed += 1
        return self._trip(streak, error, f"{streak.failed} chunks in a row failed", streak.failed >= FAILED_MAX)

    def quarantined(self, streak: Streak, error: Exception, options: PacingOptions) -> str | None:
        """A row was set aside."""
        streak.failed = 0
        streak.quarantined += 1
        self._quarantined += 1
        most = max(streak.quarantined, self._quarantined)
        limit = max(QUARANTINED_MIN, options.max_quarantined // QUARANTINED_SHARE)
        return self._trip(streak, error, f"{most} rows in a row could not be changed", most >= limit)

    def _trip(self, streak: Streak, error: Exception, what: str, trips: bool) -> str | None:
        if not trips:
            return None
        streak.failed = streak.quarantined = self._quarantined = 0
        return f"circuit_breaker {what}, the last: {first_line(error)} ({getattr(error, 'sqlstate', 'no SQLSTATE')})"
