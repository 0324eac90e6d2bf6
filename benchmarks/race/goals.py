"""The figures that are aimed at, course by course, and whether pgbackfill met them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.harness.report import Goal

from .courses import DAEMON, NOBODY, Course
from .figures import HARD_S, HARMS, SOFT_S, Standing, faster, gentler
from .policies import GRID
from .reaction import POLL_S

Standings = Mapping[str, Standing]


ROUNDS_MIN = 2
"""One round has no spread, so nothing can be beyond it."""


@dataclass(frozen=True, slots=True)
class Aim:
    """`value` is None where this race cannot tell: a contender was left out, or something never happened."""

    what: str
    goal: Goal
    value: float | None

    @property
    def met(self) -> bool:
        return self.value is not None and self.goal.met(self.value)

    def text(self) -> str:
        if self.value is None:
            return f"{self.what}: not seen; MISSED"
        return f"{self.what}: {self.value:.3g}, aim {self.goal.text(self.value)}"


def at_most(limit: float) -> Goal:
    return Goal(limit, at_least=False)


def aims(course: Course, standings: Standings) -> list[Aim]:
    """Medians of the rounds; the largest lag is the worst of all rounds."""
    if DAEMON not in standings or not course.whole:
        return []
    own = AIMS.get(course.name)
    found = own(standings[DAEMON], standings) if own else []
    if len(standings[DAEMON].rounds) < ROUNDS_MIN:
        return found
    beaten = [name for name, other in standings.items() if both(other, standings[DAEMON], course.harm)]
    who = f" ({', '.join(beaten)})" if beaten else ""
    return [*found, Aim(f"contenders both faster and gentler{who}", at_most(0), float(len(beaten)))]


def both(one: Standing, other: Standing, harm: str) -> bool:
    return faster(one, other) and gentler(one, other, harm)


def _constant(own: Standing, standings: Standings) -> list[Aim]:
    return [
        Aim("time over the link's bound", at_most(1.05), own.median("over_bound")),
        Aim("true lag p99, s", at_most(0.6), own.median("lag_p99")),
    ]


def _changing(own: Standing, standings: Standings) -> list[Aim]:
    return [
        Aim("time over the link's bound", at_most(1.10), own.median("over_bound")),
        Aim("true lag p95, s", at_most(SOFT_S), own.median("lag_p95")),
        Aim("largest true lag, s", at_most(HARD_S), own.of("lag_max").maximum),
        Aim("from a step of the lag to a lower pace, worst of the rounds, s", at_most(2 * POLL_S), _slowest(own)),
    ]


def _slowest(own: Standing) -> float | None:
    values = own.values("reaction_s")
    return max(values) if len(values) == len(own.rounds) else None


def _stopped(own: Standing, standings: Standings) -> list[Aim]:
    def worst(name: str) -> float | None:
        values = own.stopped(name)
        return max(values) if len(values) == len(own.rounds) else None

    return [
        Aim("still writing after the budget was spent, s", at_most(1.0), worst("held_after")),
        Aim("back at 90 % of the pace after the lag was below its soft limit, s", at_most(3.0), worst("back_after")),
    ]


def _front(limit: float) -> Callable[[Standing, Standings], list[Aim]]:
    """Rows a second of the fastest fixed setting that is as gentle, over pgbackfill's."""

    def aim(own: Standing, standings: Standings) -> list[Aim]:
        grid = [standings[name] for name in GRID if name in standings]
        if not grid:
            return []
        harm = HARMS["latency"]
        as_gentle = [one for one in grid if one.median(harm) <= own.median(harm)]
        fastest = max((one.median("rows_per_s") for one in as_gentle), default=0.0)
        return [
            Aim(
                "rows/s of the fastest fixed setting that is as gentle, over pgbackfill's",
                at_most(limit),
                fastest / own.median("rows_per_s"),
            )
        ]

    return aim


AIMS: dict[str, Callable[[Standing, Standings], list[Aim]]] = {
    "constant": _constant,
    "changing": _changing,
    "stopped": _stopped,
    "cpu": _front(1.10),
    "busy": _front(1.0),
}


def verdict(standing: Standing, standings: Standings, course: Course) -> str:
    """This contender against pgbackfill, beyond the spread of the rounds."""
    own = standings.get(DAEMON)
    if own is None or standing.contender in (DAEMON, NOBODY) or len(own.rounds) < ROUNDS_MIN:
        return ""
    speed = "faster" if faster(standing, own) else "slower" if faster(own, standing) else "as fast"
    harm = course.harm
    care = "gentler" if gentler(standing, own, harm) else "rougher" if gentler(own, standing, harm) else "as gentle"
    return f"{speed}, {care}"
