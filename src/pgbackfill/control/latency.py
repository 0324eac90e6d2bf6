"""Canary latency: what a foreground query feels, against its own baseline."""

from __future__ import annotations

import math
from collections import deque

from pgbackfill.control.options import PacingOptions
from pgbackfill.control.signals import Freshness, Level, Limits

MEAN_S = 1.0
MEAN_OF_MIN = 5
"""Mean of the polls of so long, at least so many, without the largest: single queries jitter more than we may cause.
Ten polls a second make as good a mean of one second as four make of two, and a foreground that gets busier is noticed
in half the time.

Not the median: with chunks half of the time every second query meets one, and a median would jump between the two.
"""

HARD_SLACK = 5.0
"""The hard limit is at least so many times the slack above the baseline, 10 ms by default: stalls of a disk or of a
full processor reach 5 ms on any machine, and a hold for each would be a sawtooth."""

IDLE_SHARE = 0.1
"""With less of the time spent in chunks than this, latency is the foreground's own."""

LEARN_S = 2.0
"""In the first seconds the baseline is the mean of all polls: of the first query alone it was anything between 0.9 and
3.6 ms, measured beside a foreground at half of two cores, and the limit with it."""

BASELINE_UP_S = 30.0
BASELINE_DOWN_S = 5.0
"""Later it follows an idle server's latency within half a minute up, and any lower latency at once, nearly."""


class Latency:
    """One canary: its trimmed mean of late (seconds) and the baseline it has without us."""

    def __init__(self, name: str, *, now: float) -> None:
        self.name = name
        self.fresh = Freshness(now=now)
        self.baseline_s: float | None = None
        self.value_s: float | None = None
        self._recent: deque[tuple[float, float]] = deque()
        self._first: list[float] = []
        self._learning_until: float | None = None
        self._at = now

    def observe(self, seconds: float | None, *, busy_share: float, now: float, interval: float) -> None:
        """Note one canary; `busy_share` is the share of the time that our chunks took since the last ones."""
        good = seconds is not None and math.isfinite(seconds) and seconds >= 0
        self.fresh.reading(good=good, at=now, interval=interval)
        if not good or seconds is None:
            return
        self._recent.append((now, seconds))
        while len(self._recent) > MEAN_OF_MIN and self._recent[0][0] < now - MEAN_S:
            self._recent.popleft()
        self.value_s = _trimmed_mean([value for _, value in self._recent])
        elapsed, self._at = max(0.0, now - self._at), now
        idle = busy_share < IDLE_SHARE
        if self._learning_until is None:
            self._learning_until = now + LEARN_S
        if not idle:
            self._learning_until = -math.inf
        if self.baseline_s is None or now <= self._learning_until:
            self._first.append(seconds)
            self.baseline_s = _trimmed_mean(self._first)
        elif self.value_s < self.baseline_s:
            self.baseline_s += (1.0 - math.exp(-elapsed / BASELINE_DOWN_S)) * (self.value_s - self.baseline_s)
        elif idle:
            self.baseline_s += (1.0 - math.exp(-elapsed / BASELINE_UP_S)) * (self.value_s - self.baseline_s)

    def limits(self, options: PacingOptions, *, alone: bool = False) -> Limits | None:
        """Soft and hard limit in seconds: a ratio to the baseline, and never less than the slack above it.

        `alone`, with no query but our own, there is nobody to slow down for, and what the canary feels is ourselves:
        the soft limit is the hard one, which a server in trouble still reaches.
        """
        if self.baseline_s is None:
            return None
        slack = options.latency_slack_ms / 1000
        hard_slack = slack * max(HARD_SLACK, options.latency_hard_ratio / options.latency_soft_ratio)
        hard = max(self.baseline_s * options.latency_hard_ratio, self.baseline_s + hard_slack)
        soft = max(self.baseline_s * options.latency_soft_ratio, self.baseline_s + slack)
        return Limits(hard if alone else soft, hard)

    def level(self, limits: Limits | None, now: float) -> Level:
        """Where the value stands; without a baseline, or too old, it is unknown."""
        if self.fresh.unknown_for(now) is not None or self.value_s is None or limits is None:
            return Level.UNKNOWN
        return limits.level(self.value_s)


def _trimmed_mean(values: list[float]) -> float:
    """Without the largest, where there are several."""
    return (sum(values) - max(values)) / (len(values) - 1) if len(values) > 1 else values[0]


CHUNK_SHARE_MIN = 0.4
"""Chunks shrink to two fifths of their target time before the speed falls: 40 ms by default.

What a chunk costs beside its rows is 2 to 4 ms on two cores and 5 ms with a foreground on both: of 40 ms an eighth, of
20 ms a quarter, and then a lower speed is the cheaper way. Foreground p95 by the length of a chunk at full speed,
beside a foreground at half of two cores: 6.5 ms at 100, 5.9 at 30, 5.4 at 23, 4.0 at 5 ms.
"""

CHUNKS_FIRST = 0.5
"""The upper half of the range of one AIMD variable shrinks chunks, the lower half lowers the speed."""


def chunk_share(effort: float) -> float:
    """Share of the chunk's target time at an effort between 0 and 1."""
    above = min(1.0, max(0.0, (effort - CHUNKS_FIRST) / (1.0 - CHUNKS_FIRST)))
    return float(CHUNK_SHARE_MIN ** (1.0 - above))


def speed_share(effort: float) -> float:
    """Share of full speed at an effort between 0 and 1: 1 until the chunks are as small as they get."""
    return min(1.0, effort / CHUNKS_FIRST)
