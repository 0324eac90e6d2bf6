"""Throughput of the daemon, unthrottled and with default settings, against one plain UPDATE of the same table.

Every run starts from a fresh, vacuumed copy after a checkpoint, and every row is checked afterwards. The daemon's time
is finished_at - started_at; the plain statement's is what its client waits, commit included. Daemon and statement run
in pairs whose order alternates; ratios are formed within a pair, and the median ratio counts.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import anyio
import asyncpg

from benchmarks.harness import arguments, facts
from benchmarks.harness.contestants import contestant, daemon, plain, timed
from benchmarks.harness.daemon import JobRun, migrate
from benchmarks.harness.pairs import PLAIN, Rounds, interleave
from benchmarks.harness.report import Goal, emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import Target, target
from benchmarks.harness.summary import Summary
from benchmarks.harness.tables import CASES, create_base

from . import plot
from .competitors import competitors, missing

DAEMON = "pgbackfill"
SPEED_GOALS = {
    "bigint": Goal(0.93),
    "uuid": Goal(0.85),
    "text": Goal(0.85),
    "composite": Goal(0.85),
    "composite-in-order": Goal(0.85),
    "other-table": Goal(0.75),
    "sparse": Goal(round(1 / 1.5, 3)),
}
WAL_GOALS = {"sparse": Goal(1.1, at_least=False)}


@dataclass(frozen=True, slots=True)
class Result:
    case: str
    rounds: Rounds
    runs: list[JobRun]

    def document(self) -> dict[str, object]:
        return {
            "case": self.case,
            "rows": self.rounds.rows,
            "chunks": [run.chunks for run in self.runs],
            "contestants": {
                name: {
                    "seconds": [one.seconds for one in measured],
                    "wal_bytes": [one.wal_bytes for one in measured],
                    "median_rows_per_second": self.rounds.rows_per_second(name).median,
                    "median_speed_ratio": Summary.of(self.rounds.speed_ratios(name)).median,
                    "median_wal_ratio": Summary.of(self.rounds.wal_ratios(name)).median,
                }
                for name, measured in self.rounds.measured.items()
                if measured
            },
        }

    def lines(self) -> list[list[str]]:
        lines = []
        for name, measured in self.rounds.measured.items():
            speed, wal = Summary.of(self.rounds.speed_ratios(name)), Summary.of(self.rounds.wal_ratios(name))
            verdicts = []
            if name == DAEMON:
                verdicts = [
                    f"{what} {goals[self.case].text(value)}"
                    for what, goals, value in (("speed", SPEED_GOALS, speed.median), ("WAL", WAL_GOALS, wal.median))
                    if self.case in goals
                ]
            lines.append(
                [
                    self.case,
                    name,
                    str(len(measured)),
                    self.rounds.seconds(name).text(),
                    f"{self.rounds.rows_per_second(name).median:,.0f}",
                    speed.text(3),
                    wal.text(2),
                    ", ".join(verdicts),
                ]
            )
        return lines


HEADER = ["case", "contestant", "runs", "seconds", "rows/s", "speed ratio", "WAL ratio", "aim"]


def _arguments() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rows", type=arguments.positive, default=3_000_000, help="rows of each table (3000000)")
    parser.add_argument("--pairs", type=arguments.positive, default=7, help="interleaved pairs of each case (7)")
    parser.add_argument(
        "--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE", help="of: %(choices)s"
    )
    parser.add_argument("--competitor-rounds", type=int, default=3, help="rounds with competitors, 0 for none (3)")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.pairs = min(args.rows, 100_000), min(args.pairs, 3)
        args.competitor_rounds = min(args.competitor_rounds, 1)
    return args


async def _case(connection: asyncpg.Connection, where: Target, name: str, args: argparse.Namespace) -> Result:
    case, rows = CASES[name], args.rows
    progress(f"{name}: {rows:,} rows")
    await create_base(connection, case, rows, args.filler_bytes)
    runs: list[JobRun] = []
    contestants = {
        PLAIN: plain(connection, where.dsn, case, rows),
        DAEMON: daemon(connection, where.dsn, case, rows, runs.append),
    }
    others: list[str] = []
    if name == "bigint" and args.competitor_rounds:
        for other, work in (await competitors(connection, where.dsn)).items():
            contestants[other] = contestant(connection, case, rows, timed(work))
            others.append(other)
    rounds = await interleave(
        rows, args.pairs, contestants, fewer=dict.fromkeys(others, args.competitor_rounds), progress=progress
    )
    await connection.execute(f"DROP TABLE {case.base}")
    return Result(name, rounds, runs)


async def measure(where: Target, args: argparse.Namespace) -> None:
    machine = facts.machine()
    await migrate(where.dsn)
    connection = await asyncpg.connect(where.dsn, command_timeout=None)
    try:
        server = await facts.server(connection)
        results = [await _case(connection, where, name, args) for name in args.cases]
    finally:
        await connection.close()
    text = "\n\n".join(
        [
            facts_text("machine", machine),
            facts_text("server", server),
            f"{args.rows:,} rows, {args.pairs} pairs; median (minimum to maximum);"
            " ratios to the plain statement of the same round",
            table(HEADER, [line for result in results for line in result.lines()]),
        ]
    )
    document = {"machine": machine, "server": server, "results": [result.document() for result in results]}
    emit(args.json, document, text)
    if args.plot:
        plot.draw(args.plot, {result.case: result.rounds for result in results}, SPEED_GOALS, DAEMON)


def main() -> None:
    args = _arguments()
    if "bigint" in args.cases and args.competitor_rounds and (lacking := missing()):
        sys.exit(f"The competitors need {' and '.join(lacking)}; or leave them out with --competitor-rounds 0.")
    with target(args.dsn) as where:
        anyio.run(measure, where, args)


if __name__ == "__main__":
    main()
