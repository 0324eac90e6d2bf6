"""One latch per signal and pair of limits, since each job may have limits of its own."""

from __future__ import annotations

from pgbackfill.control.holds import Hold, Latch, exceeded, unknown
from pgbackfill.control.signals import Freshness, Level, Limits

LATCHES_MAX = 256
"""Live retuning makes new pairs of limits; the oldest latches are dropped."""


class Latches:
    """Turns levels into holds with reasons."""

    def __init__(self) -> None:
        self._latches: dict[tuple[str, float, float], Latch] = {}

    def update(
        self,
        name: str,
        key: str,
        detail: str,
        level: Level,
        fresh: Freshness,
        value: float | None,
        unit: str,
        limits: Limits,
        *,
        now: float,
        key_limits: Limits | None = None,
    ) -> Hold | None:
        """The hold that signal `name` asks for; `key_limits` identifies limits that move (ratios to a baseline)."""
        latch = self._latch(key, key_limits or limits)
        if fresh.must_hold(now):
            level = Level.HARD
        if not latch.update(level, now=now) or latch.since is None:
            return None
        if level in (Level.SOFT, Level.HARD):
            seconds = fresh.unknown_for(now)
            if seconds is not None or value is None:
                latch.reason = unknown(name, seconds or 0.0, detail)
            else:
                latch.reason = exceeded(name, value, limits, unit, detail)
        return Hold(latch.reason, latch.since, name)

    def _latch(self, key: str, limits: Limits) -> Latch:
        identity = (key, limits.soft, limits.hard)
        latch = self._latches.pop(identity, None) or Latch()
        self._latches[identity] = latch
        if len(self._latches) > LATCHES_MAX:
            del self._latches[next(iter(self._latches))]
        return latch
