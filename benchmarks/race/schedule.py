"""The rate of the link to the standby over time, and how long it needs for so many bytes. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MB = 1e6


@dataclass(frozen=True, slots=True)
class Step:
    """From `at_s` on (seconds since the start) the link carries `rate` bytes a second; 0: it stands still."""

    at_s: float
    rate: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps in order of time, the first at 0; the last one holds for ever and is above 0."""

    steps: tuple[Step, ...]

    @classmethod
    def of(cls, *steps: tuple[float, float]) -> Schedule:
        """From (seconds, MB/s)."""
        return cls(tuple(Step(at_s, rate * MB) for at_s, rate in steps))

    def scaled(self, factor: float) -> Schedule:
        """The same course in `factor` of the time."""
        return Schedule(tuple(Step(step.at_s * factor, step.rate) for step in self.steps))

    def bytes_by(self, seconds: float) -> float:
        """What the link can have carried `seconds` after the start."""
        return sum(step.rate * max(0.0, min(end, seconds) - step.at_s) for step, end in self._with_ends())

    def seconds_for(self, count: float) -> float:
        """The earliest moment at which `count` bytes can have passed: the bound that no policy can beat."""
        left = count
        for step, end in self._with_ends():
            if step.rate > 0 and left <= step.rate * (end - step.at_s):
                return step.at_s + left / step.rate
            left -= step.rate * (end - step.at_s) if step.rate > 0 else 0.0
        raise ValueError("the last step of a schedule must let something pass")

    @property
    def stop(self) -> tuple[float, float] | None:
        """From when to when the link stands still."""
        return next(((step.at_s, end) for step, end in self._with_ends() if step.rate == 0), None)

    def _with_ends(self) -> Sequence[tuple[Step, float]]:
        ends = [step.at_s for step in self.steps[1:]] + [math.inf]
        return list(zip(self.steps, ends, strict=True))
