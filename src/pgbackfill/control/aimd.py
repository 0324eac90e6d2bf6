"""Additive increase, multiplicative decrease, for signals that are not queues."""

from __future__ import annotations

import math

from pgbackfill.control.signals import Level, Limits

INCREASE_PER_S = 0.1
"""Share of full speed that is regained per second far below the soft limit: ten seconds from a standstill.

Falls with the square of the distance, so that near the limit noise does not push it over.
"""

DECREASE_PER_S = 1.5
"""Exponent of the decrease at the hard limit: to a fifth within a second; proportionally slower near the soft limit."""

SPEED_MIN = 0.02
"""Slowest, short of a hold: without some work nothing is learned about its effect."""

STEP_MAX_S = 1.0
"""Between two questions further apart than this nothing ran, so nothing was learned."""

CUT_AT_HARD = 0.5
"""A hold begins: whatever speed led there was twice too much."""

LEAD_S = 2.0
"""How far ahead a signal that piles up is extrapolated, and the time over which its slope is smoothed: some twenty
polls. A latency does not pile up, and of single queries the slope is noise: it lowered the speed below the limit."""

LATENCY_BAND = 0.125
"""How far between its soft and its hard limit a latency has to come before the speed falls, which it does until it is
back at the soft one: by default 3 ms above the baseline and 2. Falling is ten times as fast as rising, and where the
job beside others lies just at its limit, noise around one threshold cost a tenth of the rows."""

ACHIEVED_MARGIN = 1.2
"""The decrease starts from what was achieved, not from a speed that something else prevented."""


class Aimd:
    """A speed between `SPEED_MIN` and 1, as a share of full speed, steered so that a signal stays at its soft limit.

    Both steps shrink with the distance from the soft limit, so that it settles instead of sawing. Nothing is
    learned while nothing runs: a signal that stays high without us is not our doing. With a `band`, a share of the way
    from the soft to the hard limit, the speed falls only from beyond it on, down to the soft limit.
    """

    def __init__(self, *, lead_s: float = LEAD_S, band: float = 0.0) -> None:
        self.speed = 1.0
        self._lead_s = lead_s
        self._band = band
        self._falling = False
        self._at: float | None = None
        self._level = Level.OK
        self._last: tuple[float, float] | None = None
        self._slope = 0.0
        self._ceiling: float | None = None

    def update(
        self,
        level: Level,
        value: float | None,
        limits: Limits,
        *,
        achieved: float,
        now: float,
        throttled: bool = False,
    ) -> float:
        """The speed now; `achieved` is the share of full speed that was reached lately (0: nothing ran).

        While `throttled`, what the throttle leaves unused is not given back as speed: a half of the pace would become
        all of it again. Then `achieved` is what would be reached without the throttle.
        """
        if not throttled:
            self._ceiling = None
        elif self._ceiling is None:
            self._ceiling = self.speed
        seconds = 0.0 if self._at is None else min(max(0.0, now - self._at), STEP_MAX_S)
        self._at = now if self._at is None else max(now, self._at)
        if level is Level.UNKNOWN or value is None or not math.isfinite(value):
            return self.speed
        entered_hard = level is Level.HARD and self._level is not Level.HARD
        self._level = level
        if achieved <= 0:
            return self.speed
        if entered_hard:
            self.speed = max(SPEED_MIN, CUT_AT_HARD * min(self.speed, max(achieved, SPEED_MIN)))
            return self.speed
        excess = _excess(self._ahead(value, now), limits)
        self._falling = excess > (0.0 if self._falling else self._band)
        if self._falling:
            self.speed = min(self.speed, max(achieved * ACHIEVED_MARGIN, SPEED_MIN))
            self.speed = max(SPEED_MIN, self.speed * math.exp(-DECREASE_PER_S * min(excess, 1.0) * seconds))
        elif excess <= 0:
            highest = 1.0 if self._ceiling is None else max(self._ceiling, self.speed)
            self.speed = min(highest, self.speed + INCREASE_PER_S * min(-excess, 1.0) ** 2 * seconds)
        return self.speed

    def _ahead(self, value: float, now: float) -> float:
        """Where the value will be in `lead_s`: one that piles up (a backlog) is met before it reaches its limit."""
        if self._last is None or now - self._last[0] > 10 * LEAD_S:
            self._last, self._slope = (now, value), 0.0
        elif now > self._last[0]:
            seconds = now - self._last[0]
            slope = (value - self._last[1]) / seconds
            self._slope += (1.0 - math.exp(-seconds / LEAD_S)) * (slope - self._slope)
            self._last = (now, value)
        return value + self._lead_s * self._slope


def _excess(value: float, limits: Limits) -> float:
    """0 at the soft limit, 1 at the hard one, -1 well below the soft one."""
    span = limits.hard - limits.soft
    if not math.isfinite(span) or span == 0:
        span = abs(limits.soft) or 1.0
        span = -span if limits.hard < limits.soft else span
    distance = (value - limits.soft) / span
    if distance >= 0:
        return distance
    # Below the soft limit the scale is the limit itself: half of it free is well below.
    room = abs(value - limits.soft) / (0.5 * abs(limits.soft) or abs(span))
    return -min(1.0, room)
