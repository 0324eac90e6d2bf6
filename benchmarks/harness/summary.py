"""Statistics over repeated measurements."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """Median and spread; the quartiles are those of the measured values, without interpolation beyond them."""

    count: int
    minimum: float
    lower_quartile: float
    median: float
    upper_quartile: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Raises ValueError for no values."""
        if not values:
            raise ValueError("a summary needs at least one value")
        ordered = sorted(values)
        if len(ordered) == 1:
            lower = upper = ordered[0]
        else:
            lower, _, upper = statistics.quantiles(ordered, n=4, method="inclusive")
        return cls(len(ordered), ordered[0], lower, statistics.median(ordered), upper, ordered[-1])

    def text(self, digits: int = 2) -> str:
        return f"{self.median:.{digits}f} ({self.minimum:.{digits}f} to {self.maximum:.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least `share` of all values do not exceed; never interpolated, so
    that a tail of few values is not made to look better than what was seen. Raises ValueError for no values."""
    if not values:
        raise ValueError("a percentile needs at least one value")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of y over x; 0 where x does not vary."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
