"""A standby out of reach: how soon a contender stopped, and how soon it was back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .lag import Sample, pace, true_lags, written_by

BEFORE_S = 1.5
"""The pace before the stop is taken over this time."""

WINDOW_S = 0.5
"""And the pace now over this: a few chunks and a few polls."""

IDLE_SHARE = 0.1
"""Below this part of the earlier pace nothing is written but the foreground's own."""

BACK_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Stopped:
    """Seconds; None where it never happened.

    `held_after`: from when the lag passed its hard limit to the last write at above a tenth of the pace; 0: earlier.
    `drained_after`: from the end of the stop until the lag was below the soft limit.
    `back_after`: from then until the pace was 90 % of the one before. `back_after_link`: the same from the stop's end.
    """

    held_after: float | None
    drained_after: float | None
    back_after: float | None
    back_after_link: float | None


def stopped(
    samples: Sequence[Sample], start: float, begin: float, end: float, *, soft_s: float, hard_s: float
) -> Stopped:
    """`start` of the run, `begin` and `end` of the stop in the samples' time."""
    # Whoever stops and goes may happen to rest just before the stop: then the mean since the start counts.
    usual = max(_mean_pace(samples, begin - BEFORE_S, begin), _mean_pace(samples, start, begin))
    lags, short = true_lags(samples), pace(samples, 0.1)
    spent = next((s.at for s, lag in zip(samples, lags, strict=True) if s.at > begin and lag > hard_s), None)
    writes = [s.at for s, rate in zip(samples, short, strict=True) if begin < s.at < end and rate > IDLE_SHARE * usual]
    drained = next((s.at for s, lag in zip(samples, lags, strict=True) if s.at > end and lag < soft_s), None)
    rates = zip(samples, pace(samples, WINDOW_S), strict=True)
    back = next((s.at for s, rate in rates if s.at - WINDOW_S > end and rate >= BACK_SHARE * usual), None)
    return Stopped(
        held_after=None if spent is None else max(0.0, max(writes, default=begin) - spent),
        drained_after=None if drained is None else drained - end,
        back_after=None if back is None or drained is None else max(0.0, back - drained),
        back_after_link=None if back is None else back - end,
    )


def _mean_pace(samples: Sequence[Sample], since: float, until: float) -> float:
    return (written_by(samples, until) - written_by(samples, since)) / (until - since)
