"""What a simulated run was worth, in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev

from pgbackfill.simulate.lanes import WARM_UP_S
from pgbackfill.simulate.run import RECORD_EVERY_S, Result

SMOOTH_S = 1.0
"""Rates are judged as means over a second: chunks and sleeps within it are how a pace is made."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Lags are true ones, in seconds, of the worst replica, outside of full stops; rates in WAL bytes per second."""

    name: str
    time_to_90_s: float | None
    """Until the job first ran at 90 % of what was available; None: never, or nothing limited it."""
    utilisation: float | None
    """WAL written over WAL that could have been written, outside of full stops; above 1 it went into the queue."""
    lag_p50_s: float
    lag_p95_s: float
    lag_p99_s: float
    lag_max_s: float
    overshoot_s: float
    """How far the lag went above the hard limit."""
    oscillation: float
    """Standard deviation over mean of the rate in the last third."""
    held_s: float
    rate_mean: float
    rows_done: int
    canary_p95_ms: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def judge(result: Result) -> Outcome:
    """Boil the series down."""
    open_lags = sorted(lag for lag, stop in zip(result.lag_s, result.stopped, strict=True) if not stop)
    hard = result.scenario.job.pacing.lag_hard_s
    third = smooth(result.own)[2 * len(result.own) // 3 :]
    mean = fmean(third) if third else 0.0
    return Outcome(
        name=result.scenario.name,
        time_to_90_s=time_to_share(result, 0.9),
        utilisation=utilisation(result),
        lag_p50_s=quantile(open_lags, 0.50),
        lag_p95_s=quantile(open_lags, 0.95),
        lag_p99_s=quantile(open_lags, 0.99),
        lag_max_s=quantile(open_lags, 1.0),
        overshoot_s=max(0.0, quantile(open_lags, 1.0) - hard),
        oscillation=pstdev(third) / mean if mean > 0 else 0.0,
        held_s=sum(reason is not None for reason in result.hold) * RECORD_EVERY_S,
        rate_mean=fmean(result.own) if result.own else 0.0,
        rows_done=result.rows_done,
        canary_p95_ms=1e3 * quantile(sorted(result.canary_s), 0.95),
    )


def smooth(series: Sequence[float]) -> list[float]:
    """Means over the last `SMOOTH_S`; before the start there was nothing."""
    width = round(SMOOTH_S / RECORD_EVERY_S)
    means, total = [], 0.0
    for index, value in enumerate(series):
        total += value - (series[index - width] if index >= width else 0.0)
        means.append(total / width)
    return means


def time_to_share(result: Result, share: float, *, after: float = WARM_UP_S) -> float | None:
    """Seconds from `after` until the job first runs at `share` of what is available for a whole second."""
    own = smooth(result.own)
    for at, rate, room in zip(result.seconds, own, result.available, strict=True):
        if at > after and 0 < room < math.inf and rate >= share * room:
            return at - after
    return None


def utilisation(result: Result, *, after: float = WARM_UP_S, before: float = math.inf) -> float | None:
    """Written over available between two times, outside of full stops."""
    written = possible = 0.0
    for at, rate, room, stop in zip(result.seconds, result.own, result.available, result.stopped, strict=True):
        if after < at <= before and not stop and math.isfinite(room):
            written += rate
            possible += room
    return written / possible if possible > 0 else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, by rank; 0 without any."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
