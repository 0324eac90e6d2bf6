"""Does the foreground notice a backfill of the very rows that it writes?

Writers run transactions that update several rows each, from high keys to low ones; chunks lock from low to high. The
rows are those that the backfill is about to change, so both sides meet all the time. Nobody has a lock_timeout of its
own: whoever loses a deadlock sees an error, and whoever waits, waits. Measured are errors, the time of each
foreground transaction, before the backfill and beside it, and the longest that a session was seen waiting for a
chunk. Jobs follow each other until the time is over, and each has to finish while the writers go on.

With --pooler both sides come through PgBouncer in transaction mode.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio
import asyncpg

from benchmarks.harness import arguments, facts
from benchmarks.harness.daemon import DaemonFailed, migrate, running
from benchmarks.harness.pooler import pgbouncer
from benchmarks.harness.report import Goal, emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import Target, target
from benchmarks.harness.summary import percentile
from benchmarks.harness.tables import WrongResult

DEADLOCKS_GOAL = Goal(0, at_least=False)
P99_GOAL_MS = Goal(250, at_least=False)
WAIT_GOAL_MS = Goal(200, at_least=False)

WRITERS = 4
ROWS_OF_TRANSACTION = 8
WINDOW_ROWS = 2000
"""Behind and before the cursor: about one chunk of the default target time."""
THINK_S = 0.01
"""Between two transactions of a writer: two cores are to be busy with waiting, not with writing."""
LOOK_S = 0.01
PATIENCE_S = 300

# About 0.2 ms a row, so that a chunk of 100 ms holds some 500 rows for as long as a chunk may.
SET_CLAUSE = "n = n + (SELECT (count(*) >= 0)::int FROM generate_series(1, 2000 + t.m % 2))"

WAITS = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float8 * 1000
FROM pg_locks AS l
WHERE NOT l.granted AND l.locktype <> 'virtualxid'
  AND EXISTS (SELECT FROM unnest(pg_blocking_pids(l.pid)) AS b (pid) JOIN pg_stat_activity AS a USING (pid)
              WHERE a.query LIKE '/* pgbackfill job=%')
"""


@dataclass
class Foreground:
    """What the writers met in one phase."""

    ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    longest_wait_ms: float = 0.0


@dataclass
class Stage:
    """What the tasks share. `foreground` is replaced when a phase begins; `cursor` is where the backfill stands."""

    dsn: str
    rows: int
    foreground: Foreground = field(default_factory=Foreground)
    cursor: int = 0
    updates: int = 0
    over: bool = False
    """Then writers end after their transaction: one that is cancelled may or may not have been committed."""


def _arguments() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rows", type=arguments.positive, default=50_000, help="rows of the table (50000)")
    parser.add_argument("--seconds", type=arguments.positive, default=60, help="time beside the backfill (60)")
    parser.add_argument("--pooler", action="store_true", help="through PgBouncer in transaction mode")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.seconds = min(args.rows, 5000), min(args.seconds, 10)
    if args.pooler and args.dsn:
        parser.error("--pooler puts PgBouncer before the embedded server, so it does not go with --dsn")
    return args


async def _write(stage: Stage) -> None:
    connection = await asyncpg.connect(stage.dsn, statement_cache_size=0)
    try:
        while not stage.over:
            low = min(max(1, stage.cursor - WINDOW_ROWS // 2), stage.rows - WINDOW_ROWS)
            keys = sorted(random.sample(range(low, low + WINDOW_ROWS), ROWS_OF_TRANSACTION), reverse=True)
            began, into = time.perf_counter(), stage.foreground
            try:
                async with connection.transaction():
                    for key in keys:
                        await connection.execute("UPDATE hot SET m = m + 1 WHERE id = $1", key)
            except asyncpg.PostgresError as error:
                into.errors[error.sqlstate or "?"] += 1
            else:
                stage.updates += len(keys)
            into.ms.append((time.perf_counter() - began) * 1000)
            await anyio.sleep(THINK_S)
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close(timeout=5)


async def _look(stage: Stage, direct_dsn: str) -> None:
    """Follows the cursor and watches who waits for a chunk."""
    connection = await asyncpg.connect(direct_dsn)
    try:
        while not stage.over:
            stage.cursor = await connection.fetchval(
                "SELECT coalesce(max(cursor_key[1]::bigint), 0) FROM pgbackfill.ranges WHERE status = 'open'"
            )
            waited = await connection.fetchval(WAITS)
            stage.foreground.longest_wait_ms = max(stage.foreground.longest_wait_ms, waited)
            await anyio.sleep(LOOK_S)
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close(timeout=5)


async def _backfill(connection: asyncpg.Connection, seconds: float) -> list[float]:
    """One job after the other until the time is over; how long each took."""
    took: list[float] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        job = f"bench-writers-{int(time.time())}-{len(took)}"
        await connection.execute(
            "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ($1, 'hot', $2)", job, SET_CLAUSE
        )
        status = "queued"
        with anyio.fail_after(PATIENCE_S):
            while status in ("queued", "running"):
                await anyio.sleep(0.1)
                row = await connection.fetchrow(
                    "SELECT status, error, extract(epoch FROM finished_at - started_at)::float8 AS seconds"
                    " FROM pgbackfill.jobs WHERE name = $1",
                    job,
                )
                assert row is not None
                status = row["status"]
        if status != "succeeded":
            raise DaemonFailed(f"job {job} is {status}: {row['error']}")
        took.append(row["seconds"])
        progress(f"job {len(took)}: {took[-1]:.1f} s")
    return took


async def measure(where: Target, args: argparse.Namespace, pooled_dsn: str | None) -> None:
    await migrate(where.dsn)
    connection = await asyncpg.connect(where.dsn)
    try:
        server = await facts.server(connection)
        await connection.execute(
            "CREATE TABLE hot (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, m int NOT NULL DEFAULT 0);"
            f"INSERT INTO hot SELECT generate_series(1, {args.rows}); ANALYZE hot"
        )
        stage = Stage(pooled_dsn or where.dsn, args.rows)
        async with _at_work(stage, where.dsn):
            await anyio.sleep(min(10, args.seconds))
            alone, stage.foreground = stage.foreground, Foreground()
            async with running(stage.dsn):
                took = await _backfill(connection, args.seconds)
            beside = stage.foreground
        wrong = await connection.fetchval("SELECT count(*) FROM hot WHERE n <> $1", len(took))
        lost = stage.updates - await connection.fetchval("SELECT sum(m) FROM hot")
        if wrong or lost:
            raise WrongResult(f"{wrong} rows were not changed exactly once a job, {lost} foreground updates were lost")
        retried = await connection.fetchval("SELECT coalesce(sum(rows_quarantined), 0) FROM pgbackfill.ranges")
    finally:
        await connection.close()
    lines = [_line("alone", alone), _line("beside the backfill", beside)]
    header = [
        "foreground",
        "transactions",
        "deadlocks",
        "other errors",
        "p50 ms",
        "p99 ms",
        "max ms",
        "longest wait ms",
    ]
    deadlocks = beside.errors["40P01"]
    p99 = percentile(beside.ms, 0.99)
    text = "\n\n".join(
        [
            facts_text("server", server | {"pooler": "PgBouncer, transaction mode" if pooled_dsn else "none"}),
            table(header, lines),
            f"jobs finished {len(took)}, quarantined {retried}\n"
            f"deadlock errors {deadlocks} {DEADLOCKS_GOAL.text(deadlocks)}\n"
            f"foreground p99 {p99:.0f} ms {P99_GOAL_MS.text(p99)}\n"
            f"longest wait for a chunk {beside.longest_wait_ms:.0f} ms {WAIT_GOAL_MS.text(beside.longest_wait_ms)}",
        ]
    )
    document = {"seconds": took, "deadlocks": deadlocks, "p99_ms": p99, "longest_wait_ms": beside.longest_wait_ms}
    emit(args.json, {"server": server, "beside": document}, text)


@contextlib.asynccontextmanager
async def _at_work(stage: Stage, direct_dsn: str) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        for _ in range(WRITERS):
            group.start_soon(_write, stage)
        group.start_soon(_look, stage, direct_dsn)
        yield
        stage.over = True


def _line(name: str, met: Foreground) -> list[str]:
    others = sum(met.errors.values()) - met.errors["40P01"]
    figures = [percentile(met.ms, 0.5), percentile(met.ms, 0.99), max(met.ms), met.longest_wait_ms]
    counts = [len(met.ms), met.errors["40P01"], others]
    return [name, *map(str, counts), *(f"{figure:.0f}" for figure in figures)]


def main() -> None:
    args = _arguments()
    with target(args.dsn) as where, contextlib.ExitStack() as stack:
        pooled = None
        if args.pooler:
            server_port = urlsplit(where.dsn).port
            assert server_port is not None
            port = stack.enter_context(pgbouncer(server_port, "postgres", pool_size=20))
            pooled = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        anyio.run(measure, where, args, pooled)


if __name__ == "__main__":
    main()
