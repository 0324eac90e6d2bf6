"""What do lanes bring where the job's SQL is what takes the time?

The change is an expensive expression (some 0.1 ms a row), so a lane is as fast as one core. One daemon with several
lanes is compared with one plain UPDATE statement, which Postgres runs on one core, and with as many daemons with one
lane each on the same ranges.

So that the two differ in nothing else, a lane contestant's ranges are made before its time begins, by the daemon's own
code, the daemons are started and have seen the job paused; then it is told to run. Its time runs from there to
finished_at, both on the database's clock. Every row is checked afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import time
from datetime import datetime

import anyio
import asyncpg

from benchmarks.harness import arguments, facts
from benchmarks.harness.contestants import contestant, plain
from benchmarks.harness.daemon import DaemonFailed, migrate, running
from benchmarks.harness.pairs import PLAIN, Contestant, Rounds, interleave
from benchmarks.harness.report import Goal, emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import Target, target
from benchmarks.harness.summary import Summary
from benchmarks.harness.tables import TABLE, Case, WrongResult, create_base
from pgbackfill.database import jobs, prepare

ONE_DAEMON = "one daemon, its lanes"
DAEMONS = "a daemon for each lane"
SPEED_GOAL = Goal(1.5)
SPLIT_GOAL = Goal(1.05, at_least=False)

# n comes from the row, so that nothing is computed once for all rows.
_COSTLY = "(SELECT (count(*) >= 0)::int FROM generate_series(1, 1000 + t.n))"
CASE = Case(
    "lanes",
    (("id", "bigint", "g"),),
    f"email_lower = lower(email), n = n + {_COSTLY}",
    "n = 1 AND email_lower = lower(email)",
)

_numbers = itertools.count(1)


def _arguments() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rows", type=arguments.positive, default=300_000, help="rows of the table (300000)")
    parser.add_argument("--rounds", type=arguments.positive, default=7, help="interleaved rounds (7)")
    parser.add_argument(
        "--lanes", type=arguments.positive, default=os.cpu_count() or 1, help="lanes in all (one a core: %(default)s)"
    )
    args = parser.parse_args()
    if args.quick:
        args.rows, args.rounds = min(args.rows, 30_000), min(args.rounds, 3)
    return args


async def _prepared(connection: asyncpg.Connection, dsn: str, lanes: int, options: dict[str, int]) -> str:
    """A job whose ranges are those of `lanes` lanes, paused, to be run with `options`; its name."""
    name = f"bench-lanes-{int(time.time())}-{next(_numbers)}"
    await connection.execute(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, where_clause, options) VALUES ($1, $2, $3, $4, $5)",
        name,
        TABLE,
        CASE.set_clause,
        CASE.where_clause,
        json.dumps(options),
    )
    if await jobs.start_next(connection) != name:
        raise DaemonFailed("another job is queued in this database; benchmarks need it to themselves")
    job = next(job for job in await jobs.active(connection) if job.name == name)
    while (reason := await prepare.waits_for(connection, job)) is not None:
        progress(f"waits: {reason}")
        await anyio.sleep(0.2)
    work = await asyncpg.connect(dsn)
    try:
        await prepare.prepare(connection, work, job, parallelism=lanes)
    finally:
        await work.close()
    await connection.fetchval("SELECT pgbackfill.pause($1)", name)
    return name


async def _reaches(connection: asyncpg.Connection, name: str, status: str) -> datetime:
    """Waits for the job's status; the time when it finished, or now."""
    while True:
        row = await connection.fetchrow(
            "SELECT status, error, coalesce(finished_at, clock_timestamp()) AS at FROM pgbackfill.jobs WHERE name = $1",
            name,
        )
        if row["status"] == status:
            at: datetime = row["at"]
            return at
        if row["status"] == "failed":
            raise DaemonFailed(f"job {name} failed: {row['error']}")
        await anyio.sleep(0.02)


def _lanes(
    connection: asyncpg.Connection, dsn: str, rows: int, *, daemons: int, lanes: int, shares: list[list[int]]
) -> Contestant:
    """So many daemons on a job cut for `lanes` lanes; `shares` gets the rows of each worker in each run."""

    async def work() -> float:
        name = await _prepared(connection, dsn, lanes, {"parallelism": lanes // daemons})
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(daemons):
                await stack.enter_async_context(running(dsn))
            while await connection.fetchval("SELECT count(*) FROM pgbackfill.workers") < daemons:  # noqa: ASYNC110
                await anyio.sleep(0.02)
            await _reaches(connection, name, "paused")
            began: datetime = await connection.fetchval("SELECT clock_timestamp()")
            await connection.fetchval("SELECT pgbackfill.resume($1)", name)
            seconds = (await _reaches(connection, name, "succeeded") - began).total_seconds()
        found = await connection.fetch(
            "SELECT sum(r.rows_scanned)::bigint AS rows FROM pgbackfill.ranges AS r"
            " JOIN pgbackfill.jobs AS j ON j.id = r.job_id WHERE j.name = $1 GROUP BY r.worker_id ORDER BY 1",
            name,
        )
        shares.append([row["rows"] for row in found])
        if sum(shares[-1]) != rows:
            raise WrongResult(f"{rows} rows should be scanned once, but {sum(shares[-1])} were")
        return seconds

    return contestant(connection, CASE, rows, work)


def _ratios(rounds: Rounds, numerator: str, denominator: str) -> Summary:
    pairs = zip(rounds.measured[numerator], rounds.measured[denominator], strict=True)
    return Summary.of([one.seconds / other.seconds for one, other in pairs])


async def measure(where: Target, args: argparse.Namespace) -> None:
    machine = facts.machine()
    await migrate(where.dsn)
    connection = await asyncpg.connect(where.dsn, command_timeout=None)
    shares: dict[str, list[list[int]]] = {ONE_DAEMON: [], DAEMONS: []}
    try:
        server = await facts.server(connection)
        await create_base(connection, CASE, args.rows, args.filler_bytes)
        contestants = {PLAIN: plain(connection, where.dsn, CASE, args.rows)} | {
            name: _lanes(connection, where.dsn, args.rows, daemons=daemons, lanes=args.lanes, shares=shares[name])
            for name, daemons in ((ONE_DAEMON, 1), (DAEMONS, args.lanes))
        }
        rounds = await interleave(args.rows, args.rounds, contestants, progress=progress)
        await connection.execute(f"DROP TABLE {CASE.base}")
    finally:
        await connection.close()
    speed, split = _ratios(rounds, PLAIN, ONE_DAEMON), _ratios(rounds, DAEMONS, ONE_DAEMON)
    lines = [
        [name, str(len(measured)), rounds.seconds(name).text(), f"{rounds.rows_per_second(name).median:,.0f}"]
        for name, measured in rounds.measured.items()
    ]
    smallest = Summary.of([min(run) / sum(run) * len(run) for run in shares[DAEMONS]])
    text = "\n\n".join(
        [
            facts_text("machine", machine),
            facts_text("server", server),
            f"{args.rows:,} rows, {args.lanes} lanes, {args.rounds} rounds; median (minimum to maximum)",
            table(["contestant", "runs", "seconds", "rows/s"], lines),
            f"rows/s of {args.lanes} lanes over one plain UPDATE: {speed.text(3)}, aim {SPEED_GOAL.text(speed.median)}",
            f"time of {args.lanes} daemons over that of one: {split.text(3)}, aim {SPLIT_GOAL.text(split.median)}",
            f"rows of the daemon that did fewest, as a share of its fair part: {smallest.text(2)}",
        ]
    )
    document = {
        "machine": machine,
        "server": server,
        "rows": args.rows,
        "lanes": args.lanes,
        "seconds": {name: [one.seconds for one in measured] for name, measured in rounds.measured.items()},
        "rows_by_worker": shares,
        "median_speed_ratio": speed.median,
        "median_split_ratio": split.median,
    }
    emit(args.json, document, text)
    if args.plot:
        draw(args.plot, rounds)


def draw(path: str, rounds: Rounds) -> None:
    """Writes a PNG or SVG, by the ending of `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    names = list(rounds.measured)
    axes.bar(names, [rounds.rows_per_second(name).median for name in names], color="lightsteelblue")
    for name in names:
        speeds = [rounds.rows / one.seconds for one in rounds.measured[name]]
        axes.plot([name] * len(speeds), speeds, ".", color="black")
    axes.set(ylabel="rows/s")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    args = _arguments()
    with target(args.dsn) as where:
        anyio.run(measure, where, args)


if __name__ == "__main__":
    main()
