"""Interleaved rounds: everything that is compared runs in every round, so that a slow minute hits all alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .summary import Summary

PLAIN = "plain UPDATE"


@dataclass(frozen=True, slots=True)
class Measurement:
    """`seconds` of work, and the WAL it wrote."""

    seconds: float
    wal_bytes: int


@dataclass(slots=True)
class Rounds:
    """What each contestant took in each round. A contestant may sit out late rounds, but not early ones."""

    rows: int
    measured: dict[str, list[Measurement]] = field(default_factory=dict)

    def seconds(self, name: str) -> Summary:
        return Summary.of([one.seconds for one in self.measured[name]])

    def rows_per_second(self, name: str) -> Summary:
        return Summary.of([self.rows / one.seconds for one in self.measured[name]])

    def speed_ratios(self, name: str) -> list[float]:
        """Rows a second over those of the plain statement of the same round; above 1 is faster."""
        return [
            plain.seconds / one.seconds for plain, one in zip(self.measured[PLAIN], self.measured[name], strict=False)
        ]

    def wal_ratios(self, name: str) -> list[float]:
        """WAL bytes over those of the plain statement of the same round."""
        return [
            one.wal_bytes / plain.wal_bytes
            for plain, one in zip(self.measured[PLAIN], self.measured[name], strict=False)
        ]


Contestant = Callable[[], Awaitable[Measurement]]


def order(names: Sequence[str], round_no: int) -> list[str]:
    """Even rounds forwards, odd ones backwards, so that who comes first alternates within every pair."""
    return list(names) if round_no % 2 == 0 else list(reversed(names))


async def interleave(
    rows: int,
    rounds: int,
    contestants: Mapping[str, Contestant],
    *,
    fewer: Mapping[str, int] | None = None,
    progress: Callable[[str], None],
) -> Rounds:
    """Runs every contestant once a round; those in `fewer` in that many rounds only, because they are slow."""
    result = Rounds(rows, {name: [] for name in contestants})
    limits = fewer or {}
    for round_no in range(rounds):
        names = [name for name in contestants if round_no < limits.get(name, rounds)]
        for name in order(names, round_no):
            measurement = await contestants[name]()
            result.measured[name].append(measurement)
            speed = rows / measurement.seconds
            progress(f"round {round_no + 1}/{rounds}  {name:<28} {measurement.seconds:8.2f} s {speed:10,.0f} rows/s")
    return result
