"""The speed that each signal which is not a queue allows: one AIMD variable per signal and pair of limits."""

from __future__ import annotations

from pgbackfill.control.aimd import LATENCY_BAND, Aimd
from pgbackfill.control.fleet import UNKNOWN_SPEED
from pgbackfill.control.signals import Level, Limits
from pgbackfill.control.usage import Usage

STEERED_MAX = 256
"""Live retuning makes new pairs of limits, so the oldest variables are dropped."""

ACHIEVED_WINDOW_S = 1.0
"""The share of the time spent in chunks is taken over this: several chunks and sleeps."""


class Steering:
    """Each job may have limits of its own, hence variables of its own. `now` is monotonic seconds."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._steered: dict[tuple[str, float, float], Aimd] = {}
        self._achieved_at: tuple[float, float | None, int] | None = None
        self._achieved_share = 0.0
        self._throttled_at: tuple[float, float | None] | None = None
        self._throttle = 1.0

    def speed(
        self,
        name: str,
        level: Level,
        value: float | None,
        limits: Limits,
        key: Limits,
        *,
        lanes: int,
        effort: bool,
        now: float,
    ) -> float:
        """Share of full speed; `key` identifies limits that move. An `effort` is lowered by smaller chunks first."""
        if level is Level.UNKNOWN:
            return UNKNOWN_SPEED
        known = self._steered.pop((name, key.soft, key.hard), None)
        aimd = known or (Aimd(lead_s=0.0, band=LATENCY_BAND) if effort else Aimd())
        self._steered[name, key.soft, key.hard] = aimd
        if len(self._steered) > STEERED_MAX:
            del self._steered[next(iter(self._steered))]
        throttle = self._throttled(now)
        achieved = min(1.0, self.achieved(lanes, now) / throttle)
        if effort and achieved > 0:
            achieved = 1.0  # of an effort, chunk size is a part; the share of time says nothing about it
        return aimd.update(level, value, limits, achieved=achieved, now=now, throttled=throttle < 1.0)

    def achieved(self, lanes: int, now: float) -> float:
        """Share of the time that the lanes of this daemon spent in chunks of late."""
        asked = (now, self._usage.last_end, lanes)
        if self._achieved_at != asked:
            share = self._usage.busy_share(now - ACHIEVED_WINDOW_S, now) / lanes
            self._achieved_at, self._achieved_share = asked, min(1.0, share)
        return self._achieved_share

    def _throttled(self, now: float) -> float:
        """The part of its pace that throttles left of late; asked by every signal at every decision."""
        asked = (now, self._usage.last_end)
        if self._throttled_at != asked:
            self._throttled_at, self._throttle = asked, self._usage.throttle(now - ACHIEVED_WINDOW_S, now)
        return self._throttle
