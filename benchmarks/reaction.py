"""How long after a pause was asked for does the last chunk end?

A job is made slow by an expensive expression, so that a chunk of the default target time holds few rows and a table
lasts for many pauses. At a random moment inside a chunk the pause is asked for, in turn by the flag in
pgbackfill.jobs, by HTTP POST for the job, and by SIGUSR1. The reaction is the time from just before that act to the
commit of the last chunk, and 0 where no chunk was committed after it.

The commit is taken from the database's own clock: pg_xact_commit_timestamp of the version of the range row that first
carries the new chunk number (track_commit_timestamp, which the embedded server has). The range row is polled every
5 ms; were it written again for another reason between two polls, the later commit would count, which only makes the
reaction longer. The act is timed on this process's clock, corrected by the offset of the two clocks. A chunk has
been the last one when nothing was committed for the quiet time after it: several chunks.

Each pause is judged against its own budget: the duration of its last chunk, because a chunk is never interrupted, plus
100 ms.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import asyncpg
import httpx

from benchmarks.harness import arguments, facts
from benchmarks.harness.daemon import migrate, running
from benchmarks.harness.ranges import RangeWatch
from benchmarks.harness.report import Goal, emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import Target, target
from benchmarks.harness.summary import percentile
from benchmarks.harness.tables import CASES, TABLE, create_base, fresh_copy

OVERHEAD_GOAL_MS = Goal(100, at_least=False)
QUIET_S = 0.7
"""Seven chunks of the default target time: a daemon that has not paused would have committed several."""
SETTLE_CHUNKS = 3
"""Chunks between a resume and the next pause, so that the chunk size has settled again."""
PHASE_S = 0.15
"""The act comes at a random moment within this time, longer than a chunk, so at any phase of one."""

# About 0.2 ms a row: some 500 rows in a chunk of 100 ms.
SET_CLAUSE = "n = n + (SELECT (count(*) >= 0)::int FROM generate_series(1, 2000 + t.n))"

Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """One pause. `act_ms`: how long the act itself took; `chunk_ms`: duration of the last chunk."""

    reaction_ms: float
    chunk_ms: float
    act_ms: float

    @property
    def overhead_ms(self) -> float:
        """What is above the last chunk; negative where the pause came in the middle of it."""
        return self.reaction_ms - self.chunk_ms


@dataclass(frozen=True, slots=True)
class Way:
    name: str
    pause: Act
    resume: Act


def _arguments() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rows", type=arguments.positive, default=2_000_000, help="rows of the table (2000000)")
    parser.add_argument("--pauses", type=arguments.positive, default=60, help="pauses of each kind (60)")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.pauses = min(args.rows, 200_000), min(args.pauses, 5)
    return args


async def _pause_once(ranges: RangeWatch, way: Way) -> Reaction:
    await ranges.grown(SETTLE_CHUNKS)
    await anyio.sleep(random.uniform(0, PHASE_S))
    began = time.time()
    await way.pause()
    act_ms = (time.time() - began) * 1000
    await ranges.quiet(QUIET_S)
    last = ranges.latest
    await way.resume()
    return Reaction(max(0.0, (last.committed_at - began) * 1000), last.chunk_ms, act_ms)


async def _ways(connection: asyncpg.Connection, http: httpx.AsyncClient, job: str, pid: int) -> list[Way]:
    async def flag(state: str) -> None:
        await connection.execute("UPDATE pgbackfill.jobs SET desired_state = $1 WHERE name = $2", state, job)

    async def post(action: str) -> None:
        # The media type keeps the request from being one that a page on another site could send unasked.
        answer = await http.post(f"/api/v1/jobs/{job}/{action}", headers={"Content-Type": "application/json"})
        answer.raise_for_status()

    async def send(number: signal.Signals) -> None:
        os.kill(pid, number)

    return [
        Way("flag in pgbackfill.jobs", lambda: flag("pause"), lambda: flag("run")),
        Way("HTTP POST", lambda: post("pause"), lambda: post("resume")),
        Way("SIGUSR1", lambda: send(signal.SIGUSR1), lambda: send(signal.SIGUSR2)),
    ]


async def _measure(
    connection: asyncpg.Connection, where: Target, args: argparse.Namespace
) -> dict[str, list[Reaction]]:
    case = CASES["bigint"]
    await create_base(connection, case, args.rows, args.filler_bytes)
    await fresh_copy(connection, case)
    await connection.execute(f"DROP TABLE {case.base}")
    job = f"bench-reaction-{int(time.time())}"
    await connection.execute(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ($1, $2, $3)", job, TABLE, SET_CLAUSE
    )
    result: dict[str, list[Reaction]] = {}
    poller = await asyncpg.connect(where.dsn)
    try:
        async with (
            running(where.dsn) as (process, _, port),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
            anyio.create_task_group() as group,
        ):
            ranges = RangeWatch(poller, job)
            group.start_soon(ranges.run)
            ways = await _ways(connection, http, job, process.pid)
            for number in range(args.pauses):
                for way in ways:
                    result.setdefault(way.name, []).append(await _pause_once(ranges, way))
                progress(f"round {number + 1}/{args.pauses}")
            group.cancel_scope.cancel()
    finally:
        await poller.close()
        await connection.execute("UPDATE pgbackfill.jobs SET desired_state = 'cancel' WHERE name = $1", job)
    return result


HEADER = ["act", "pauses", "reaction ms p50", "p99", "last chunk ms p50", "p99", "reaction - chunk p50", "p99", "aim"]


def _line(name: str, reactions: list[Reaction]) -> list[str]:
    columns = (
        [one.reaction_ms for one in reactions],
        [one.chunk_ms for one in reactions],
        [one.overhead_ms for one in reactions],
    )
    cells = [f"{percentile(values, share):.0f}" for values in columns for share in (0.5, 0.99)]
    return [name, str(len(reactions)), *cells, OVERHEAD_GOAL_MS.text(percentile(columns[2], 0.99))]


async def measure(where: Target, args: argparse.Namespace) -> None:
    machine = facts.machine()
    await migrate(where.dsn)
    connection = await asyncpg.connect(where.dsn)
    try:
        server = await facts.server(connection)
        result = await _measure(connection, where, args)
    finally:
        await connection.close()
    text = "\n\n".join(
        [
            facts_text("machine", machine),
            facts_text("server", server),
            table(HEADER, [_line(name, reactions) for name, reactions in result.items()]),
        ]
    )
    document = {
        name: [{"reaction_ms": one.reaction_ms, "chunk_ms": one.chunk_ms, "act_ms": one.act_ms} for one in reactions]
        for name, reactions in result.items()
    }
    emit(args.json, {"machine": machine, "server": server, "pauses": document}, text)
    if args.plot:
        draw(args.plot, result)


def draw(path: str, result: dict[str, list[Reaction]]) -> None:
    """Writes a PNG or SVG, by the ending of `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    for name, reactions in result.items():
        axes.ecdf([one.overhead_ms for one in reactions], label=name)
    axes.axvline(OVERHEAD_GOAL_MS.limit, color="tab:red", linewidth=0.8)
    axes.set(xlabel="reaction less the last chunk's duration, ms (red: aim)", ylabel="share of pauses")
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    args = _arguments()
    with target(args.dsn) as where:
        anyio.run(measure, where, args)


if __name__ == "__main__":
    main()
