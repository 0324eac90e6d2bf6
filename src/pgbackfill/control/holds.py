"""Holds: when the work stops altogether, why, and when it may go on."""

from __future__ import annotations

from dataclasses import dataclass

from pgbackfill.control.signals import Level, Limits

RELEASE_AFTER_S = 0.5
"""How long a signal must stay below its soft limit before a hold ends.

Two to five polls at 0.1 to 0.25 s, so that one lucky reading does not release; small against the 3 s within which
the work should be back at its pace after a recovery.
"""

DIGITS_MAX = 17
"""More decimal digits than a float has."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing runs. `reason` has the form `replica_lag 6.2s > 5s (replica-b)`; `since` is on the clock of `now`."""

    reason: str
    since: float
    signal: str


class Latch:
    """Hysteresis: closed by a hard level, opened after a while below the soft limit.

    An unknown level keeps it as it is; the caller turns one that lasts too long into a hard one.
    """

    def __init__(self, *, release_after_s: float = RELEASE_AFTER_S) -> None:
        self._release_after_s = release_after_s
        self._clear_since: float | None = None
        self.since: float | None = None
        self.reason = ""
        """The last reason that was true; kept while the signal settles below its soft limit."""

    def update(self, level: Level, *, now: float) -> bool:
        """Whether the work is held. Asking again at the same `now` changes nothing."""
        if level is Level.HARD:
            self._clear_since = None
            if self.since is None:
                self.since = now
        elif level is not Level.OK:
            self._clear_since = None
        elif self.since is not None:
            if self._clear_since is None:
                self._clear_since = now
            if now - self._clear_since >= self._release_after_s:
                self.since = None
                self._clear_since = None
        return self.since is not None


def exceeded(name: str, value: float, limits: Limits, unit: str, detail: str) -> str:
    """`replica_lag 6.2s > 5s (replica-b)`: the worst limit that `value` exceeds, the hard one if it exceeds none.

    As many digits as it takes to see which of the two is larger: never `1s > 1s`.
    """
    limit = limits.soft if limits.level(value) is Level.SOFT else limits.hard
    sign = "<" if limits.low_is_bad else ">"
    shown = next(
        (digits for digits in range(DIGITS_MAX) if _shown(value, unit, digits) != _shown(limit, unit, digits)),
        DIGITS_MAX,
    )
    left, right = quantity(value, unit, shown), quantity(limit, unit, shown)
    return f"{name} {left} {sign} {right}" + (f" ({detail})" if detail else "")


def unknown(name: str, seconds: float, detail: str) -> str:
    """`replica_lag unknown for 12s (replica-b)`."""
    return f"{name} unknown for {quantity(seconds, 's')}" + (f" ({detail})" if detail else "")


def quantity(value: float, unit: str, more_digits: int = 0) -> str:
    """A number for people: two significant digits below 10, whole numbers above; bytes in binary multiples."""
    scaled, suffix, _ = _scaled(value, unit)
    return f"{_short(scaled, more_digits)}{suffix}"


def _scaled(value: float, unit: str) -> tuple[float, str, float]:
    """The number to print, the unit to print behind it, and what that unit is worth."""
    scale = 1.0
    if unit == "B":
        for suffix in ("B", "KiB", "MiB", "GiB", "TiB"):
            if abs(value) / scale < 1024 or suffix == "TiB":
                return value / scale, suffix, scale
            scale *= 1024
    return value, unit, scale


def _shown(value: float, unit: str, more_digits: int) -> float:
    """What a reader takes the printed number for."""
    scaled, _, scale = _scaled(value, unit)
    return float(_short(scaled, more_digits)) * scale


def _short(value: float, more_digits: int) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if abs(value) >= 1:
        digits = f"{value:.{(0 if abs(value) >= 10 else 1) + more_digits}f}"
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{value:.{2 + more_digits}g}"
