"""What is left of many jobs, pauses and restarts?

One daemon works for the whole time and is watched: resident memory and open files. Others are started and stopped
again and again, every fourth time by SIGKILL. Jobs come and go on some tables, and unfinished ones are paused and
resumed. What is finished grows old in fast motion: after some seconds its times are moved back beyond the retention, so
that each new daemon removes it. In the end every row was changed once by each of its table's jobs, nothing is in
between states, and memory and pgbackfill's own tables are as large as they were in the middle, when all that grows
once has grown; and no more files are open than after the first jobs.

On two busy cores all of it takes half an hour; with --dsn it can be done in pieces, one after the other, in one
database.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import statistics
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import asyncpg

from benchmarks.harness import arguments, facts, processes
from benchmarks.harness.daemon import command, environment, migrate, running
from benchmarks.harness.report import Goal, emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import Target, target
from benchmarks.harness.tables import WrongResult

MEMORY_GOAL = Goal(1.1, at_least=False)
FILES_GOAL = Goal(0, at_least=False)
TABLES_GOAL = Goal(1.5, at_least=False)

TABLES = 24
ROWS = 20
QUEUED_MOST = 40
SAMPLE_S = 1.0
AGE_S = 10.0
"""What has been finished for so long is made older than every retention."""
SETTINGS = {"PGBACKFILL_MAX_CONCURRENT_JOBS": "8", "PGBACKFILL_METRICS_RETENTION_S": "10", "PGBACKFILL_LEASE_S": "5"}
PATIENCE_S = 120
REST_S = 5
RESTARTERS = 3
UNFINISHED = "('queued', 'running', 'paused', 'verifying')"


@dataclass(frozen=True, slots=True)
class Sample:
    """The steady daemon's memory and open files; pgbackfill's own tables, and the rows of the largest of them."""

    jobs: int
    resident_bytes: int
    files: int
    table_bytes: int
    rows: int


@dataclass
class Course:
    """How far the soak has come."""

    began: int = field(default_factory=lambda: int(time.time()))
    enqueued: int = 0
    pauses: int = 0
    restarts: int = 0
    killed: int = 0
    samples: list[Sample] = field(default_factory=list)
    files_at_rest: list[int] = field(default_factory=list)

    async def keep_step(self, done: int, wanted: int, jobs: int) -> None:
        """Returns once `done` of `wanted` is no larger a share than that of the jobs: all is spread over the time."""
        while done / wanted > self.enqueued / jobs:  # noqa: ASYNC110 - what counts is how far, not what happened
            await anyio.sleep(0.05)


def _arguments() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("--jobs", type=arguments.positive, default=5000, help="jobs (5000)")
    parser.add_argument("--pauses", type=arguments.positive, default=1000, help="pauses of a job (1000)")
    parser.add_argument("--restarts", type=arguments.positive, default=200, help="restarts of the second daemon (200)")
    args = parser.parse_args()
    if args.quick:
        args.jobs, args.pauses, args.restarts = min(args.jobs, 200), min(args.pauses, 40), min(args.restarts, 8)
    return args


async def _enqueue(dsn: str, course: Course, jobs: int) -> None:
    async with _connected(dsn) as connection:
        while course.enqueued < jobs:
            waiting = await connection.fetchval(f"SELECT count(*) FROM pgbackfill.jobs WHERE status IN {UNFINISHED}")
            for _ in range(min(QUEUED_MOST - waiting, jobs - course.enqueued)):
                await connection.execute(
                    "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ($1, $2, 'n = n + 1')",
                    f"soak-{course.began}-{course.enqueued}",
                    f"soak_{course.enqueued % TABLES}",
                )
                course.enqueued += 1
            await anyio.sleep(0.05)


async def _pause(dsn: str, course: Course, args: argparse.Namespace) -> None:
    async with _connected(dsn) as connection:
        while course.pauses < args.pauses:
            await course.keep_step(course.pauses, args.pauses, args.jobs)
            name = await connection.fetchval(
                "UPDATE pgbackfill.jobs SET desired_state = 'pause' WHERE id = (SELECT id FROM pgbackfill.jobs"
                " WHERE status IN ('queued', 'running') AND desired_state = 'run' ORDER BY random() LIMIT 1"
                " FOR UPDATE SKIP LOCKED) RETURNING name"
            )
            await anyio.sleep(random.uniform(0.01, 0.1))
            if name is None and course.enqueued == args.jobs:
                return  # too few jobs are left to pause
            if name is not None:
                course.pauses += 1
                # It may have finished meanwhile; then there is nothing to resume.
                await connection.execute(
                    f"UPDATE pgbackfill.jobs SET desired_state = 'run' WHERE name = $1 AND status IN {UNFINISHED}", name
                )


async def _restart(dsn: str, course: Course, args: argparse.Namespace) -> None:
    async with _connected(dsn) as connection:
        while course.restarts < args.restarts:
            course.restarts += 1
            await course.keep_step(course.restarts, args.restarts, args.jobs)
            kill = course.restarts % 4 == 0
            env = environment(dsn, PGBACKFILL_HTTP__ENABLED="false", **SETTINGS)
            process = await anyio.open_process(
                command("run"), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                await _until(connection, f"SELECT count(*) FROM pgbackfill.workers WHERE pid = {process.pid}")
                await anyio.sleep(random.uniform(0, 0.5))
                process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
                course.killed += kill
                code = await process.wait()
                if not kill and code:
                    raise WrongResult(f"a stopped daemon ended with exit code {code}")
            finally:
                await process.aclose()


async def _grow_old(dsn: str) -> None:
    async with _connected(dsn) as connection:
        while True:
            await connection.execute(
                "UPDATE pgbackfill.events SET at = at - interval '400 days' WHERE at BETWEEN"
                f" now() - interval '1 day' AND now() - interval '{AGE_S} s'"
            )
            await connection.execute(
                "UPDATE pgbackfill.jobs SET finished_at = finished_at - interval '400 days' WHERE finished_at BETWEEN"
                f" now() - interval '1 day' AND now() - interval '{AGE_S} s'"
            )
            # Those that were killed: a day in fast motion.
            await connection.execute(
                "UPDATE pgbackfill.workers SET heartbeat_at = heartbeat_at - interval '2 days'"
                f" WHERE heartbeat_at < now() - interval '{AGE_S} s'"
            )
            await anyio.sleep(1)


async def _watch(dsn: str, pid: int, course: Course) -> None:
    async with _connected(dsn) as connection:
        while True:
            row = await connection.fetchrow(
                "SELECT sum(pg_total_relation_size(oid))::bigint AS bytes,"
                " (SELECT count(*) FROM pgbackfill.jobs) + (SELECT count(*) FROM pgbackfill.events) AS rows"
                " FROM pg_class WHERE relnamespace = 'pgbackfill'::regnamespace AND relkind = 'r'"
            )
            sample = processes.read(pid)
            assert row is not None
            assert sample is not None, "the steady daemon has ended"
            course.samples.append(
                Sample(course.enqueued, sample.resident_bytes, processes.open_files(pid), row["bytes"], row["rows"])
            )
            if len(course.samples) % 20 == 0:
                progress(f"{course} ".split(" samples=")[0] + f" {course.samples[-1]}")
            await anyio.sleep(SAMPLE_S)


async def _until(connection: asyncpg.Connection, question: str) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not await connection.fetchval(question):  # noqa: ASYNC110 - Postgres has no event for it
            await anyio.sleep(0.05)


@contextlib.asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close(timeout=5)


async def _soak(dsn: str, args: argparse.Namespace, course: Course) -> None:
    async with (
        running(dsn, PGBACKFILL_HTTP__ENABLED="false", **SETTINGS) as (process, _, _),
        _connected(dsn) as connection,
        anyio.create_task_group() as always,
    ):
        always.start_soon(_grow_old, dsn)
        always.start_soon(_watch, dsn, process.pid, course)
        await _enqueue(dsn, course, TABLES)
        await _warm_up(connection, course)
        await _at_rest(connection, course, process.pid)
        async with anyio.create_task_group() as work:
            work.start_soon(_enqueue, dsn, course, args.jobs)
            work.start_soon(_pause, dsn, course, args)
            for _ in range(RESTARTERS):
                work.start_soon(_restart, dsn, course, args)
        await _at_rest(connection, course, process.pid)
        always.cancel_scope.cancel()


async def _warm_up(connection: asyncpg.Connection, course: Course) -> None:
    """A chunk that takes so long that the daemon looks who waits for it: all that is opened once is open then."""
    await connection.execute(
        "DROP TABLE IF EXISTS soak_warm; CREATE TABLE soak_warm (id int PRIMARY KEY, n int);"
        "INSERT INTO soak_warm SELECT generate_series(1, 5), 0"
    )
    await connection.execute(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ($1, 'soak_warm',"
        " 'n = 1 + (pg_sleep(0.1) IS NULL)::int')",
        f"soak-{course.began}-warm",
    )


async def _at_rest(connection: asyncpg.Connection, course: Course, pid: int) -> None:
    """Waits for the end of all jobs, and a little for what is closed after it; then counts open files."""
    await _until(connection, f"SELECT count(*) = 0 FROM pgbackfill.jobs WHERE status IN {UNFINISHED}")
    await anyio.sleep(REST_S)
    course.files_at_rest.append(processes.open_files(pid))


async def measure(where: Target, args: argparse.Namespace) -> None:
    await migrate(where.dsn)
    course, began = Course(), time.monotonic()
    async with _connected(where.dsn) as connection:
        server = await facts.server(connection)
        for number in range(TABLES):
            await connection.execute(
                f"DROP TABLE IF EXISTS soak_{number};"
                f"CREATE TABLE soak_{number} (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);"
                f"INSERT INTO soak_{number} SELECT generate_series(1, {ROWS})"
            )
        await _soak(where.dsn, args, course)
        for number in range(TABLES):
            wanted = len(range(number, args.jobs, TABLES))
            wrong = await connection.fetchval(f"SELECT count(*) FROM soak_{number} WHERE n <> {wanted}")
            if wrong:
                raise WrongResult(f"{wrong} rows of soak_{number} were not changed once by each of {wanted} jobs")
        failed = await connection.fetchval("SELECT count(*) FROM pgbackfill.jobs WHERE status <> 'succeeded'")
        if failed:
            raise WrongResult(f"{failed} jobs did not succeed")
    early, late = _part(course.samples, 2), _part(course.samples, 4)
    memory, tables = late.resident_bytes / early.resident_bytes, late.table_bytes / early.table_bytes
    files = course.files_at_rest[-1] - course.files_at_rest[0]
    text = "\n\n".join(
        [
            facts_text("server", server),
            f"{args.jobs} jobs, {course.pauses} pauses, {course.restarts} restarts, {course.killed} of them by SIGKILL,"
            f" in {time.monotonic() - began:.0f} s; every row changed once by each job",
            table(
                ["median of", "jobs so far", "resident MB", "open files", "own tables MB", "rows of jobs and events"],
                [_line("third fifth", early), _line("last fifth", late)],
            ),
            f"memory x {memory:.2f} {MEMORY_GOAL.text(memory)}\nopen files at rest + {files} {FILES_GOAL.text(files)}\n"
            f"own tables x {tables:.2f} {TABLES_GOAL.text(tables)}",
        ]
    )
    emit(args.json, {"server": server, "memory": memory, "files": files, "tables": tables}, text)


def _part(samples: list[Sample], fifth: int) -> Sample:
    """The medians of one fifth of the time; 0 is the first."""
    size = len(samples) // 5
    part = samples[fifth * size : (fifth + 1) * size]
    return Sample(*(round(statistics.median(getattr(s, name) for s in part)) for name in Sample.__slots__))


def _line(name: str, sample: Sample) -> list[str]:
    return [
        name, str(sample.jobs), f"{sample.resident_bytes / 1e6:.1f}", str(sample.files),
        f"{sample.table_bytes / 1e6:.1f}", str(sample.rows),
    ]  # fmt: skip


def main() -> None:
    args = _arguments()
    with target(args.dsn) as where:
        anyio.run(measure, where, args)


if __name__ == "__main__":
    main()
