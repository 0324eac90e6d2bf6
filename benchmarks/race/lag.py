"""True lag and pace from samples of both servers. Pure; independent of what any contender believes.

The lag at a moment is that moment minus the time at which the primary's WAL stood where the standby's replay stands: 0
when everything is replayed, growing by a second a second behind a link that stands still.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """`at` is Unix time in seconds; positions of the WAL in bytes."""

    at: float
    written: int
    replayed: int


def true_lags(samples: Sequence[Sample]) -> list[float]:
    """Seconds of lag at each sample. Needs samples from before the first byte that counts."""
    written = [sample.written for sample in samples]
    lags = []
    for sample in samples:
        if sample.replayed >= sample.written:
            lags.append(0.0)
            continue
        after = bisect.bisect_right(written, sample.replayed)
        lags.append(max(0.0, sample.at - _when(samples, after, sample.replayed)))
    return lags


def _when(samples: Sequence[Sample], after: int, position: int) -> float:
    """When the primary passed `position`, which lies before sample `after` and not before the one ahead of it."""
    if after == 0:
        return samples[0].at
    before, later = samples[after - 1], samples[after]
    share = (position - before.written) / (later.written - before.written)
    return before.at + share * (later.at - before.at)


def written_by(samples: Sequence[Sample], at: float) -> float:
    """Position of the primary's WAL at a moment, between two samples by interpolation."""
    index = bisect.bisect_right([sample.at for sample in samples], at)
    if index == 0:
        return samples[0].written
    if index == len(samples):
        return samples[-1].written
    before, later = samples[index - 1], samples[index]
    share = (at - before.at) / (later.at - before.at)
    return before.written + share * (later.written - before.written)


def pace(samples: Sequence[Sample], window_s: float) -> list[float]:
    """Bytes a second that the primary wrote over the `window_s` before each sample."""
    times = [sample.at for sample in samples]
    rates = []
    for index, sample in enumerate(samples):
        first = bisect.bisect_left(times, sample.at - window_s, 0, index + 1)
        seconds = sample.at - times[first]
        rates.append((sample.written - samples[first].written) / seconds if seconds > 0 else 0.0)
    return rates
