"""Signals: a value, its age, a soft limit (slow down) and a hard limit (hold).

A signal that cannot be read is unknown, never healthy: it slows the work at once and holds it after
`HOLD_AFTER_UNKNOWN_S`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

HOLD_AFTER_UNKNOWN_S = 10.0
"""A signal that nobody could read for so long holds the work: the rule of the design."""

STALE_INTERVALS = 2.5
"""A reading is stale after so many of its promised intervals: one late or lost poll is not yet a fault."""

STALE_MIN_S = 1.0
"""No reading is stale before this: the poll of a busy daemon is late by some tenths of a second."""


class Level(StrEnum):
    """What a signal asks for. The values appear on the status page."""

    OK = "ok"
    SOFT = "soft"
    HARD = "hard"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond `soft` the work slows down, beyond `hard` it is held.

    Where `hard` is below `soft`, small values are the bad ones (free disk, burst credits). `math.inf` as `hard`
    means that the signal only slows; `slowest` is the share of full speed below which it never does, for signals
    that our own pace hardly moves.
    """

    soft: float
    hard: float
    slowest: float = 0.0

    @property
    def low_is_bad(self) -> bool:
        return self.hard < self.soft

    def level(self, value: float) -> Level:
        sign = -1.0 if self.low_is_bad else 1.0
        if sign * value > sign * self.hard:
            return Level.HARD
        if sign * value > sign * self.soft:
            return Level.SOFT
        return Level.OK


@dataclass(frozen=True, slots=True)
class Reading:
    """What one poll of a signal returned.

    `value` is None where the poll failed or the value may not be read; `at` is the time at which it was measured
    (seconds, the clock of `now`); `interval` is how often the probe promises to report (seconds).
    """

    name: str
    value: float | None
    at: float
    detail: str = ""
    unit: str = "s"
    interval: float = 1.0


class Freshness:
    """The age of a polled value, and since when it is unknown."""

    def __init__(self, *, now: float) -> None:
        self._good_at: float | None = None
        self._missing = True
        self._since = now
        self._interval = 1.0

    def reading(self, *, good: bool, at: float, interval: float = 1.0) -> None:
        """Note a poll made at `at`; `good` when it brought a value."""
        self._interval = max(interval, 0.0)
        self._missing = not good
        if good:
            self._good_at = at if self._good_at is None else max(at, self._good_at)

    def age(self, now: float) -> float | None:
        """Seconds since the last good value was measured; None before the first one."""
        return None if self._good_at is None else max(0.0, now - self._good_at)

    def unknown_for(self, now: float) -> float | None:
        """Seconds without a value; None while the value is known and fresh."""
        age = self.age(now)
        if age is None:
            return max(0.0, now - self._since)
        if self._missing or age > max(STALE_MIN_S, STALE_INTERVALS * self._interval):
            return age
        return None

    def must_hold(self, now: float) -> bool:
        """Whether the value has been unknown for so long that the work is held."""
        unknown = self.unknown_for(now)
        return unknown is not None and unknown >= max(HOLD_AFTER_UNKNOWN_S, STALE_INTERVALS * self._interval)


class Signal:
    """The latest reading of one named signal under its limits."""

    def __init__(self, name: str, *, now: float) -> None:
        self.name = name
        self.reading = Reading(name, None, now)
        self.limits: Limits | None = None
        self.fresh = Freshness(now=now)

    def observe(self, reading: Reading, limits: Limits | None) -> None:
        good = reading.value is not None and not math.isnan(reading.value)
        self.fresh.reading(good=good, at=reading.at, interval=reading.interval)
        self.limits = limits
        if good:
            self.reading = reading

    def level(self, now: float) -> Level:
        """The level as it is seen now; one without limits is shown, and never anything but OK or UNKNOWN."""
        if self.fresh.unknown_for(now) is not None or self.reading.value is None:
            return Level.UNKNOWN
        return Level.OK if self.limits is None else self.limits.level(self.reading.value)


@dataclass(frozen=True, slots=True)
class SignalStatus:
    """One row of the status page. `value` is the last known one, `age_s` its age; None: never read."""

    name: str
    value: float | None
    unit: str
    soft: float | None
    hard: float | None
    age_s: float | None
    level: Level
    detail: str = ""
