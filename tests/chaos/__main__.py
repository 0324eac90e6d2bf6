"""`python -m tests.chaos`: every course in turn, or those that are named, and one table at the end."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from benchmarks.harness.pooler import pgbouncer, program
from benchmarks.harness.report import progress

from pgbackfill.embedded import Server

from . import courses, failover
from .fleet import Broken
from .outcome import Outcome, report
from .stage import Stage, server, staged


@dataclass(frozen=True, slots=True)
class Course:
    """`rounds` in full and with --quick. `pooled`: through PgBouncer."""

    run: Callable[[Stage], Awaitable[None]] | None
    rounds: int
    quick: int
    pooled: bool = False


COURSES = {
    "kill": Course(courses.kill, 40, 1),
    "kill-lanes": Course(courses.kill_lanes, 60, 2),
    "kill-statement": Course(courses.kill_statement, 100, 4),
    "terminate": Course(courses.terminate, 50, 4),
    "restart": Course(courses.restart, 20, 1),
    "doubt": Course(courses.doubt, 50, 4),
    "cut": Course(courses.cut, 36, 4),
    "half-open": Course(courses.half_open, 12, 1),
    "zombies": Course(courses.zombies, 24, 2),
    "failover": Course(None, 10, 1),
    "failover-sync": Course(None, 10, 1),
    "pooled-kill": Course(courses.kill, 10, 1, pooled=True),
    "pooled-kill-statement": Course(courses.kill_statement, 36, 2, pooled=True),
    "pooled-terminate": Course(courses.terminate, 20, 2, pooled=True),
    "pooled-restart": Course(courses.restart, 6, 1, pooled=True),
    "pooled-doubt": Course(courses.doubt, 20, 2, pooled=True),
    "pooled-half-open": Course(courses.half_open, 6, 1, pooled=True),
    "pooled-zombies": Course(courses.zombies, 8, 2, pooled=True),
}


def main() -> int:
    """1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a round or a few of each: shows that it works")
    parser.add_argument("--courses", nargs="+", choices=COURSES, default=list(COURSES), help="these alone")
    parser.add_argument("--rounds", type=int, help="so many of each course")
    arguments = parser.parse_args()
    if any(COURSES[name].pooled for name in arguments.courses) and program() is None:
        parser.error("PgBouncer is not here: apt-get install pgbouncer, or name other courses.")
    outcomes = []
    with contextlib.ExitStack() as stack:
        shared: list[Server] = []
        for name in arguments.courses:
            course = COURSES[name]
            rounds = arguments.rounds or (course.quick if arguments.quick else course.rounds)
            if course.run is not None and not shared:
                shared.append(stack.enter_context(server()))
            outcomes.append(anyio.run(_play, name, course, rounds, shared[0] if course.run is not None else None))
    print(report(outcomes))
    return any(outcome.verdict != "kept" for outcome in outcomes)


async def _play(name: str, course: Course, rounds: int, shared: Server | None) -> Outcome:
    outcome = Outcome(name)
    progress(f"{name}: {rounds} rounds")
    began = time.monotonic()
    try:
        if shared is None or course.run is None:
            synchronous = name.endswith("sync")
            turns = failover.SYNCHRONOUS if synchronous else failover.ASYNCHRONOUS
            await failover.course(outcome, rounds, turns=turns, synchronous=synchronous)
        else:
            with pgbouncer(shared.port, shared.user) if course.pooled else contextlib.nullcontext() as port:
                async with staged(shared, outcome, rounds, port=port) as stage:
                    await course.run(stage)
    except* Broken as group:
        outcome.broken = "; ".join(str(error) for error in _leaves(group))
        progress(f"{name}: BROKEN: {outcome.broken}")
    outcome.seconds = time.monotonic() - began
    for note, count in sorted(outcome.notes.items()):
        progress(f"  {note}: {count}")
    worst = "" if outcome.worst_s is None else f", worst takeover {outcome.worst_s:.1f} s"
    progress(f"  {outcome.rounds} rounds, {outcome.lost} lost, {outcome.repeated} repeated{worst}: {outcome.verdict}")
    return outcome


def _leaves(group: BaseExceptionGroup[Broken]) -> list[Broken]:
    found: list[Broken] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


if __name__ == "__main__":
    sys.exit(main())
