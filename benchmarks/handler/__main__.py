"""How close does a handler job come to the ideal rate?

Every row needs one call of so many milliseconds, and so many calls are in flight: the ideal rate is calls in flight
over time of a call, and whatever pgbackfill does beside the calls (reading, locking, writing, committing) makes it
lower. The job's time runs from started_at to finished_at on the database's clock, preparation included. A foreground
writes to random rows of the table meanwhile, unless --writes-per-s is 0. Every row is checked afterwards: counted up
once by the job, and once by each write of the foreground.
"""

from __future__ import annotations

import argparse
import json
import random

import anyio
import asyncpg

from benchmarks.harness import arguments, facts
from benchmarks.harness.daemon import DaemonFailed, migrate, running
from benchmarks.harness.report import Goal, emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import Target, target
from benchmarks.harness.summary import Summary
from benchmarks.harness.tables import WrongResult

GOAL = Goal(0.9)
WRITE_STEP = 1000
"""What a write of the foreground adds; the job adds 1."""


def _arguments() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rows", type=arguments.positive, default=8000, help="rows of the table (8000)")
    parser.add_argument("--rounds", type=arguments.positive, default=3, help="rounds (3)")
    parser.add_argument("--call-ms", type=arguments.positive, default=50, help="time of a call (50)")
    parser.add_argument("--in-flight", type=arguments.positive, default=20, help="calls at once (20)")
    parser.add_argument("--writes-per-s", type=int, default=20, help="writes of the foreground (20)")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.rounds = min(args.rows, 2000), 1
    return args


async def _write(dsn: str, rows: int, per_s: int, done: list[int]) -> None:
    """Writes to random rows until it is cancelled; between two writes, so that each is counted."""
    connection = await asyncpg.connect(dsn)
    try:
        while per_s:
            with anyio.CancelScope(shield=True):
                row = random.randint(1, rows)
                await connection.execute(f"UPDATE bench_handler SET n = n + {WRITE_STEP} WHERE id = $1", row)
                done.append(row)
            await anyio.sleep(1 / per_s)
    finally:
        connection.terminate()


async def _run(connection: asyncpg.Connection, dsn: str, args: argparse.Namespace) -> tuple[float, int]:
    """Seconds of one job, and how many writes of the foreground there were meanwhile."""
    await connection.execute(
        "DROP TABLE IF EXISTS bench_handler;"
        " CREATE TABLE bench_handler (id bigint PRIMARY KEY, n bigint NOT NULL, filler text);"
        " DELETE FROM pgbackfill.jobs WHERE name = 'bench-handler'"
    )
    await connection.execute(
        "INSERT INTO bench_handler SELECT i, 0, repeat('x', $2::int) FROM generate_series(1, $1::int) AS i",
        args.rows,
        args.filler_bytes,
    )
    await connection.execute("VACUUM ANALYZE bench_handler")
    await connection.execute(
        "INSERT INTO pgbackfill.jobs (name, table_name, operation, handler, params, options)"
        " VALUES ('bench-handler', 'bench_handler', 'handler', 'sleeping', $1, $2)",
        json.dumps({"seconds": args.call_ms / 1000}),
        json.dumps({"handler_concurrency": args.in_flight}),
    )
    writes: list[int] = []
    async with anyio.create_task_group() as foreground:
        foreground.start_soon(_write, dsn, args.rows, args.writes_per_s, writes)
        async with running(dsn, "--drain", "--handlers", "benchmarks.handler.sleeping") as (process, _, _):
            await process.wait()
        foreground.cancel_scope.cancel()
    job = await connection.fetchrow(
        "SELECT status, error, extract(epoch FROM finished_at - started_at)::float8 AS seconds FROM pgbackfill.jobs"
        " WHERE name = 'bench-handler'"
    )
    if job is None or job["status"] != "succeeded":
        raise DaemonFailed(f"the job is {job and job['status']}: {job and job['error']}")
    wrong = await connection.fetchval(
        "SELECT count(*) FROM bench_handler AS b"
        " LEFT JOIN (SELECT w, count(*) FROM unnest($1::bigint[]) AS w GROUP BY w) AS c ON c.w = b.id"
        f" WHERE b.n <> 1 + {WRITE_STEP} * coalesce(c.count, 0)",
        writes,
    )
    if wrong:
        raise WrongResult(f"{wrong} of {args.rows} rows were not changed once by the job and once by each write")
    return job["seconds"], len(writes)


async def measure(where: Target, args: argparse.Namespace) -> None:
    machine = facts.machine()
    await migrate(where.dsn)
    connection = await asyncpg.connect(where.dsn, command_timeout=None)
    ideal_s = args.rows * args.call_ms / 1000 / args.in_flight
    lines, ratios, seconds_of = [], [], []
    try:
        server = await facts.server(connection)
        for number in range(1, args.rounds + 1):
            seconds, writes = await _run(connection, where.dsn, args)
            seconds_of.append(seconds)
            ratios.append(ideal_s / seconds)
            lines.append(
                [str(number), f"{seconds:.2f}", f"{args.rows / seconds:,.0f}", f"{ratios[-1]:.3f}", str(writes)]
            )
            progress(f"round {number}: {ratios[-1]:.3f} of the ideal rate")
        await connection.execute("DROP TABLE bench_handler; DELETE FROM pgbackfill.jobs WHERE name = 'bench-handler'")
    finally:
        await connection.close()
    summary = Summary.of(ratios)
    text = "\n\n".join(
        [
            facts_text("machine", machine),
            facts_text("server", server),
            f"{args.rows:,} rows, {args.call_ms} ms a call, {args.in_flight} in flight: ideal {ideal_s:.2f} s,"
            f" {args.rows / ideal_s:,.0f} rows/s",
            table(["round", "seconds", "rows/s", "of the ideal", "foreground writes"], lines),
            f"share of the ideal rate: {summary.text(3)}, aim {GOAL.text(summary.median)}",
        ]
    )
    document = {
        "machine": machine, "server": server, "rows": args.rows, "call_ms": args.call_ms, "in_flight": args.in_flight,
        "seconds": seconds_of, "median_ratio": summary.median,
    }  # fmt: skip
    emit(args.json, document, text)


def main() -> None:
    args = _arguments()
    with target(args.dsn) as where:
        anyio.run(measure, where, args)


if __name__ == "__main__":
    main()
