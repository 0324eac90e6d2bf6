"""A limit on a rate, as arithmetic on `now`."""

from __future__ import annotations


class Bucket:
    """What was spent above a rate is a debt, and the debt is a time to wait.

    What a chunk costs is known only afterwards, so it is paid afterwards. The time that the chunk itself took pays
    for it too; time in which nothing ran earns no credit, so that a long hold is not followed by a burst.
    """

    def __init__(self) -> None:
        self._debt = 0.0
        self._at: float | None = None

    def spend(self, amount: float, rate: float | None, *, since: float, now: float) -> None:
        """Add what was spent between `since` and `now` under a limit of `rate` per second (None: no limit)."""
        if rate is None:
            self._debt, self._at = 0.0, now
            return
        self._settle(rate, since)
        start = since if self._at is None else max(since, self._at)
        self._debt = max(0.0, self._debt + max(0.0, amount) - rate * max(0.0, now - start))
        self._at = max(now, start)

    def wait_s(self, rate: float | None, *, now: float) -> float:
        """Seconds until the debt is paid."""
        if rate is None:
            self._debt = 0.0
            return 0.0
        self._settle(rate, now)
        return self._debt / rate

    def _settle(self, rate: float, now: float) -> None:
        if self._at is not None and now > self._at:
            self._debt = max(0.0, self._debt - rate * (now - self._at))
            self._at = now
