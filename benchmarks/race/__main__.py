"""A race of pacing policies over the same table, the same link to a standby and the same foreground.

Every contender runs in every round; each run starts from a copy of the same table, and every row is checked after it.
True lag is measured here, every 20 ms, from both servers' positions in the write-ahead log. Policies of others are
replicas, each with its source (benchmarks/race/policies.py), on the chunk statement that pgbackfill itself uses.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import anyio

from benchmarks.harness import arguments, facts
from benchmarks.harness.pairs import order
from benchmarks.harness.report import emit, progress
from benchmarks.harness.report import facts as facts_text

from . import plot, report
from .courses import COURSES, DAEMON, NOBODY, Course
from .figures import Figures, Standing, figures
from .foreground import missing, most_per_second
from .policies import GRID, POLICIES
from .run import Run, one_run
from .stage import Stage

QUICK_FACTOR = 0.25
QUICK_COURSES = ("constant", "changing", "cpu")
QUICK_CONTENDERS = (NOBODY, "gh-ost", "grid-200-1", DAEMON)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=arguments.positive, help="interleaved rounds (5; 1 with --quick)")
    parser.add_argument("--courses", nargs="+", choices=list(COURSES), metavar="COURSE", help="of: %(choices)s")
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=[*POLICIES, *GRID, DAEMON],
        metavar="CONTENDER",
        help="instead of each course's own, beside the foreground alone; of: %(choices)s",
    )
    parser.add_argument("--quick", action="store_true", help="short and few: shows that it works, not how fast")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--plot", metavar="FOLDER", help="also draw each course into this folder, as PNG")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    args.courses = args.courses or (QUICK_COURSES if args.quick else list(COURSES))
    return args


def _contenders(course: Course, args: argparse.Namespace) -> list[str]:
    if args.contenders:
        return [NOBODY, *dict.fromkeys(args.contenders)]
    return [name for name in course.contenders if not args.quick or name in QUICK_CONTENDERS]


async def _race(stage: Stage, course: Course, args: argparse.Namespace) -> tuple[dict[str, Standing], list[Run]]:
    """All rounds of a course; the runs of the last round come along, for the plot."""
    names = _contenders(course, args)
    progress(f"{course.name}: {course.title}; {course.rows:,} rows")
    await stage.load(course.rows, course.filler_bytes)
    most = 1.0
    if course.foreground.of_machine:
        await stage.fresh()
        most = await most_per_second(stage.dsn, course.rows, course.foreground)
        progress(f"the machine can do {most:,.0f} such transactions a second")
    measured: dict[str, list[Figures]] = {name: [] for name in names}
    last: dict[str, Run] = {}
    for round_no in range(args.rounds):
        for name in order(names, round_no):
            last[name] = run = await one_run(stage, course, name, most)
            measured[name].append(found := figures(run))
            progress(
                f"round {round_no + 1}/{args.rounds}  {report.title(name):<28} {found.seconds:6.2f} s"
                f" {found.rows_per_s:9,.0f} rows/s  lag p99 {found.lag_p99:5.2f} s  p95 {found.p95_ms:6.1f} ms"
            )
    standings = {name: Standing(name, rounds) for name, rounds in measured.items()}
    return standings, [last[name] for name in names]


async def measure(args: argparse.Namespace) -> None:
    machine = facts.machine()
    texts, documents = [], []
    async with Stage.build() as stage:
        server = await facts.server(stage.postgres)
        for name in args.courses:
            course = COURSES[name].scaled(QUICK_FACTOR) if args.quick else COURSES[name]
            standings, runs = await _race(stage, course, args)
            texts.append(report.text(course, standings))
            documents.append(report.document(course, standings))
            if args.plot:
                plot.draw(Path(args.plot), course, standings, runs)
    text = "\n\n".join(
        [
            facts_text("machine", machine),
            facts_text("server", server),
            f"{args.rounds} rounds; medians, in parentheses minimum to maximum; the largest lag is the worst of all;\n"
            "faster, slower, gentler, rougher: every round of one beyond every round of the other",
            *texts,
        ]
    )
    emit(args.json, {"machine": machine, "server": server, "rounds": args.rounds, "courses": documents}, text)


def main() -> None:
    args = _arguments()
    if missing():
        sys.exit("The race needs the program pgbench; it comes with Postgres's server packages.")
    anyio.run(measure, args)


if __name__ == "__main__":
    main()
