"""How near does `pgbackfill plan --sample` come to what the job then takes?

For each shape of table and each round: a fresh copy, `pgbackfill plan … --sample --json` as a user types it, a
checkpoint (between a plan and its job there is one, as a rule), then the same job by `pgbackfill run --drain`. The
projection is compared with finished_at - started_at, the WAL with what the server wrote meanwhile. The median ratio
counts.

pgbench reads and updates another table all the time, while the plan samples and while the job runs.

Both sides are told to ignore the canaries (`latency_slack_ms`): on a machine that does other work as well, their holds
are in the measured time and in no projection.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from dataclasses import dataclass

import anyio
import asyncpg

from benchmarks.harness import arguments, facts
from benchmarks.harness.contestants import _wal_position
from benchmarks.harness.daemon import migrate, running, said
from benchmarks.harness.report import emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import Target, target
from benchmarks.harness.summary import Summary
from benchmarks.harness.tables import CASES, TABLE, Case, create_base, fresh_copy, verify
from benchmarks.race.foreground import Foreground, missing, traffic

WITHIN = 0.25
LONGEST_S = 6 * 3600
"""Of the application, should nobody stop it."""

IGNORE_CANARIES = {"latency_slack_ms": 60_000}

SHOPS = 1000
TRAFFIC = """
\\set shop random(1, :rows)
SELECT visits FROM shop WHERE id = :shop;
UPDATE shop SET visits = visits + 1 WHERE id = :shop;
"""

# n comes from the row, so that nothing is computed once for all rows.
_COSTLY = "(SELECT (count(*) >= 0)::int FROM generate_series(1, 300 + t.n))"


@dataclass(frozen=True, slots=True)
class Shape:
    """A table of `share` of the rows that are asked for, each with `filler_bytes` beside what is changed."""

    case: Case
    filler_bytes: int
    share: float = 1.0
    counts: bool = True
    """Whether it is one of those that the aim is about."""


SHAPES = {
    "narrow bigint": Shape(CASES["bigint"], 0),
    "wide rows, expensive": Shape(
        Case(
            "wide", (("id", "bigint", "g"),), f"email_lower = lower(email), n = n + {_COSTLY}",
            "n = 1 AND email_lower = lower(email)",
        ),
        1200, share=0.3,
    ),
    "value of another table": Shape(CASES["other-table"], 192),
    "uuid": Shape(CASES["uuid"], 192, counts=False),
}  # fmt: skip

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds and WAL bytes, projected and measured."""

    projected_s: float
    low_s: float
    high_s: float
    measured_s: float
    projected_wal: float
    measured_wal: int

    @property
    def ratio(self) -> float:
        return self.projected_s / self.measured_s

    @property
    def wal_ratio(self) -> float:
        return self.projected_wal / self.measured_wal

    @property
    def in_range(self) -> bool:
        return self.low_s <= self.measured_s <= self.high_s


def _arguments() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rows", type=arguments.positive, default=1_000_000, help="rows of the narrow table (1000000)")
    parser.add_argument("--rounds", type=arguments.positive, default=5, help="rounds of each shape (5)")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES), metavar="SHAPE")
    parser.add_argument("--rate", type=float, default=200, help="transactions a second of the application (200)")
    args = parser.parse_args()
    if missing():
        parser.error("pgbench is missing; it comes with the Postgres client programs")
    if args.quick:
        args.rows, args.rounds = min(args.rows, 100_000), 1
    return args


def _words(case: Case, name: str) -> list[str]:
    options = [part for key, value in IGNORE_CANARIES.items() for part in ("--option", f"{key}={value}")]
    return [name, TABLE, "--set", case.set_clause, "--where", case.where_clause, *options]


async def _round(connection: asyncpg.Connection, dsn: str, shape: Shape, rows: int) -> Round:
    name = f"bench-plan-{int(time.time())}-{next(_numbers)}"
    await fresh_copy(connection, shape.case)
    plan = json.loads(await said(dsn, "plan", *_words(shape.case, name), "--sample", "--json"))["projection"]
    await connection.execute("CHECKPOINT")
    before = await _wal_position(connection)
    await said(dsn, "enqueue", *_words(shape.case, name))
    async with running(dsn, "--drain") as (process, _, _):
        await process.wait()
    wal_bytes = await _wal_position(connection) - before
    await verify(connection, shape.case, rows)
    measured = await connection.fetchval(
        "SELECT extract(epoch FROM finished_at - started_at)::float8 FROM pgbackfill.jobs WHERE name = $1", name
    )
    return Round(
        plan["seconds"], plan["seconds_low"], plan["seconds_high"], measured, plan["wal_bytes"], wal_bytes
    )  # fmt: skip


async def _rounds(connection: asyncpg.Connection, dsn: str, name: str, args: argparse.Namespace) -> list[Round]:
    shape, found = SHAPES[name], list[Round]()
    rows = max(1, round(args.rows * shape.share))
    await create_base(connection, shape.case, rows, shape.filler_bytes)
    for number in range(args.rounds):
        one = await _round(connection, dsn, shape, rows)
        found.append(one)
        progress(
            f"{name}  round {number + 1}/{args.rounds}  projected {one.projected_s:.2f} s"
            f"  measured {one.measured_s:.2f} s  ratio {one.ratio:.2f}  WAL {one.wal_ratio:.2f}"
        )
    await connection.execute(f"DROP TABLE {shape.case.base}")
    return found


def _line(name: str, shape: Shape, rounds: list[Round]) -> list[str]:
    ratio = Summary.of([one.ratio for one in rounds])
    met = 1 - WITHIN <= ratio.median <= 1 + WITHIN
    return [
        name,
        Summary.of([one.projected_s for one in rounds]).text(),
        Summary.of([one.measured_s for one in rounds]).text(),
        ratio.text(),
        f"{sum(one.in_range for one in rounds)} of {len(rounds)}",
        Summary.of([one.wal_ratio for one in rounds]).text(),
        f"within {WITHIN:.0%} {'met' if met else 'MISSED'}" if shape.counts else "(no aim)",
    ]


HEADER = ["shape", "projected s", "measured s", "ratio", "in its range", "WAL ratio", "aim"]


async def measure(where: Target, args: argparse.Namespace) -> None:
    machine = facts.machine()
    await migrate(where.dsn)
    connection = await asyncpg.connect(where.dsn, command_timeout=None)
    results: dict[str, list[Round]] = {}
    try:
        server = await facts.server(connection)
        await connection.execute("CREATE TABLE shop (id int PRIMARY KEY, visits int NOT NULL DEFAULT 0)")
        await connection.execute("INSERT INTO shop SELECT generate_series(1, $1::int)", SHOPS)
        async with traffic(where.dsn, SHOPS) as application:
            await application.start(Foreground(TRAFFIC, args.rate), args.rate, LONGEST_S)
            for name in args.shapes:
                results[name] = await _rounds(connection, where.dsn, name, args)
            await application.stop()
    finally:
        await connection.close()
    text = "\n\n".join(
        [
            facts_text("machine", machine),
            facts_text("server", server),
            f"{args.rows:,} rows, {args.rounds} rounds; median (minimum to maximum); ratios are projected to measured",
            table(HEADER, [_line(name, SHAPES[name], rounds) for name, rounds in results.items()]),
        ]
    )
    document = {
        "machine": machine,
        "server": server,
        "shapes": {
            name: [
                {"projected_s": one.projected_s, "measured_s": one.measured_s, "ratio": one.ratio,
                 "projected_wal_bytes": one.projected_wal, "measured_wal_bytes": one.measured_wal}
                for one in rounds
            ]
            for name, rounds in results.items()
        },
    }  # fmt: skip
    emit(args.json, document, text)


def main() -> None:
    args = _arguments()
    with target(args.dsn) as where:
        anyio.run(measure, where, args)


if __name__ == "__main__":
    main()
