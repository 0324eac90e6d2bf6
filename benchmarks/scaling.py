"""Does the cost of a row depend on the size of the table, and the daemon's own appetite on how far it has come?

The ratio of benchmarks.throughput (bigint key) at several table sizes, and the daemon's resident memory and processor
time, read from /proc every 0.2 s between started_at and finished_at. Memory counts as flat when its trend over the
longest run is small; the largest value of any run counts against the limit.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import anyio
import asyncpg

from benchmarks.harness import arguments, facts
from benchmarks.harness.contestants import daemon, plain
from benchmarks.harness.daemon import JobRun, migrate
from benchmarks.harness.pairs import PLAIN, Rounds, interleave
from benchmarks.harness.processes import core_share
from benchmarks.harness.report import Goal, emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import Target, target
from benchmarks.harness.summary import Summary, slope
from benchmarks.harness.tables import CASES, create_base

DAEMON = "pgbackfill"
SIZES = [100_000, 1_000_000, 5_000_000]
SPREAD_GOAL = Goal(1.15, at_least=False)
MEMORY_GOAL_MB = Goal(100, at_least=False)
CORE_GOAL = Goal(0.10, at_least=False)
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Result:
    rounds: Rounds
    runs: list[JobRun]

    @property
    def ratio(self) -> Summary:
        return Summary.of(self.rounds.speed_ratios(DAEMON))

    @property
    def core(self) -> float | None:
        """Median share of a core; None where all runs were too short to tell."""
        shares = [share for run in self.runs if (share := core_share(run.samples)) is not None]
        return Summary.of(shares).median if shares else None

    @property
    def memory(self) -> Summary | None:
        """Resident megabytes over all samples of all runs."""
        values = [sample.resident_bytes / MB for run in self.runs for sample in run.samples]
        return Summary.of(values) if values else None

    @property
    def growth(self) -> float:
        """Trend of the resident memory over the longest run, in megabytes from its start to its end."""
        samples = max(self.runs, key=lambda run: run.seconds).samples
        if not samples:
            return 0.0
        points = [(sample.at, sample.resident_bytes / MB) for sample in samples]
        return slope(points) * (samples[-1].at - samples[0].at)

    def document(self) -> dict[str, object]:
        return {
            "rows": self.rounds.rows,
            "speed_ratios": self.rounds.speed_ratios(DAEMON),
            "median_speed_ratio": self.ratio.median,
            "core_share": self.core,
            "resident_mb_max": self.memory.maximum if self.memory else None,
            "resident_mb_growth": self.growth,
            "runs": [
                {
                    "seconds": run.seconds,
                    "chunks": run.chunks,
                    "samples": [[one.at, one.resident_bytes, one.cpu_seconds] for one in run.samples],
                }
                for run in self.runs
            ],
        }

    def line(self) -> list[str]:
        return [
            f"{self.rounds.rows:,}",
            str(len(self.runs)),
            self.rounds.seconds(PLAIN).text(),
            self.rounds.seconds(DAEMON).text(),
            self.ratio.text(3),
            f"{Summary.of([run.chunks for run in self.runs]).median:.0f}",
            "too short" if self.memory is None else f"{self.memory.median:.1f} / {self.memory.maximum:.1f}",
            f"{self.growth:+.2f}",
            "too short" if self.core is None else f"{self.core:.1%}",
        ]


HEADER = ["rows", "pairs", "plain s", "pgbackfill s", "speed ratio", "chunks", "memory MB p50/max", "growth MB", "core"]


def _arguments() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument(
        "--rows", type=arguments.positive, nargs="+", default=SIZES, help="table sizes (100 k, 1 M, 5 M)"
    )
    parser.add_argument("--pairs", type=arguments.positive, default=7, help="interleaved pairs of each size (7)")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.pairs = [20_000, 100_000], min(args.pairs, 3)
    return args


def _verdicts(results: list[Result]) -> list[str]:
    ratios = [result.ratio.median for result in results]
    spread = max(ratios) / min(ratios)
    lines = [f"largest over smallest median ratio: {spread:.3f}, aim {SPREAD_GOAL.text(spread)}"]
    memories = [result.memory.maximum for result in results if result.memory]
    if memories:
        lines.append(f"largest resident memory: {max(memories):.1f} MB, aim {MEMORY_GOAL_MB.text(max(memories))}")
    cores = [result.core for result in results if result.core is not None]
    if cores:
        # The longest runs tell most; the ticks of /proc are 10 ms, which is much in a run of half a second.
        lines.append(f"share of a core, largest table: {cores[-1]:.1%}, aim {CORE_GOAL.text(cores[-1])}")
    return lines


async def measure(where: Target, args: argparse.Namespace) -> None:
    machine = facts.machine()
    await migrate(where.dsn)
    connection = await asyncpg.connect(where.dsn)
    results: list[Result] = []
    case = CASES["bigint"]
    try:
        server = await facts.server(connection)
        for rows in sorted(args.rows):
            progress(f"{rows:,} rows")
            await create_base(connection, case, rows, args.filler_bytes)
            runs: list[JobRun] = []
            contestants = {
                PLAIN: plain(connection, where.dsn, case, rows),
                DAEMON: daemon(connection, where.dsn, case, rows, runs.append),
            }
            results.append(Result(await interleave(rows, args.pairs, contestants, progress=progress), runs))
            await connection.execute(f"DROP TABLE {case.base}")
    finally:
        await connection.close()
    text = "\n\n".join(
        [
            facts_text("machine", machine),
            facts_text("server", server),
            "median (minimum to maximum); ratios to the plain statement of the same round",
            table(HEADER, [result.line() for result in results]),
            "\n".join(_verdicts(results)),
        ]
    )
    emit(args.json, {"machine": machine, "server": server, "results": [one.document() for one in results]}, text)
    if args.plot:
        draw(args.plot, results)


def draw(path: str, results: list[Result]) -> None:
    """Writes a PNG or SVG, by the ending of `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    left.plot([one.rounds.rows for one in results], [one.ratio.median for one in results], "o-")
    for one in results:
        ratios = one.rounds.speed_ratios(DAEMON)
        left.plot([one.rounds.rows] * len(ratios), ratios, ".", color="black")
    left.set(xscale="log", xlabel="rows", ylabel="rows/s over those of one plain UPDATE", ylim=(0, None))
    for one in results:
        samples = max(one.runs, key=lambda run: run.seconds).samples
        if samples:
            times = [sample.at - samples[0].at for sample in samples]
            right.plot(times, [sample.resident_bytes / MB for sample in samples], label=f"{one.rounds.rows:,} rows")
    right.axhline(MEMORY_GOAL_MB.limit, color="tab:red", linewidth=0.8)
    right.set(xlabel="s since the job started", ylabel="resident memory, MB", ylim=(0, None))
    right.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    args = _arguments()
    with target(args.dsn) as where:
        anyio.run(measure, where, args)


if __name__ == "__main__":
    main()
