"""What do rows cost that cannot be changed?

A job meets rows on which it fails: scattered at random over the whole table, and in clusters of neighbours. Each of
them is looked for by bisection and set aside. Counted is every transaction beyond those that the same job needs on the
same table without such rows: chunks that were rolled back, the smaller chunks around them, and the one that sets the
row aside. Afterwards exactly these rows stand in the quarantine, and every other row was changed exactly once.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

import anyio
import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harness import arguments, facts
from benchmarks.harness.daemon import DaemonFailed, migrate, running
from benchmarks.harness.report import Goal, emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import Target, target
from benchmarks.harness.tables import WrongResult

SCATTERED_GOAL = Goal(15, at_least=False)
SEED = 7
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """One finished job. `chunks`: committed and rolled back; each row that was set aside took one transaction more."""

    case: str
    poison: int
    seconds: float
    committed: int
    rolled_back: int

    @property
    def transactions(self) -> int:
        return self.committed + self.rolled_back + self.poison


def _arguments() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rows", type=arguments.positive, default=1_000_000, help="rows of the table (1000000)")
    parser.add_argument("--poison", type=arguments.positive, default=1000, help="rows that cannot be changed (1000)")
    parser.add_argument("--clusters", type=arguments.positive, default=20, help="clusters that they form (20)")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.poison, args.clusters = min(args.rows, 50_000), min(args.poison, 50), min(args.clusters, 5)
    return args


def scattered(rows: int, poison: int) -> list[int]:
    return sorted(random.Random(SEED).sample(range(1, rows + 1), poison))


def clustered(rows: int, poison: int, clusters: int) -> list[int]:
    """Neighbours, one cluster in each of so many equal stretches of the table."""
    chance, stretch, size = random.Random(SEED), rows // clusters, poison // clusters
    starts = [number * stretch + chance.randint(1, stretch - size) for number in range(clusters)]
    return [start + offset for start in starts for offset in range(size)]


async def _fill(connection: asyncpg.Connection, rows: int, poison: Iterable[int]) -> None:
    await connection.execute("DROP TABLE IF EXISTS poisoned")
    await connection.execute(
        "CREATE TABLE poisoned (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, divisor int NOT NULL)"
    )
    await connection.execute(f"INSERT INTO poisoned SELECT i, 0, 1 FROM generate_series(1, {rows}) AS i")
    await connection.execute("UPDATE poisoned SET divisor = 0 WHERE id = ANY ($1::bigint[])", list(poison))
    await connection.execute("VACUUM ANALYZE poisoned")
    await connection.execute("CHECKPOINT")


async def _chunks(http: httpx.AsyncClient) -> dict[str, int]:
    text = (await http.get("/metrics")).text
    return {
        sample.labels["outcome"]: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "pgbackfill_chunks_total"
    }


async def _run(where: Target, connection: asyncpg.Connection, case: str, rows: int, poison: list[int]) -> Run:
    await _fill(connection, rows, poison)
    job = f"bench-poison-{case}-{int(time.time())}"
    await connection.execute(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, options) VALUES ($1, 'poisoned',"
        " 'n = n + 1 / divisor', jsonb_build_object('max_quarantined', $2::int))",
        job,
        4 * len(poison) + 100,
    )
    async with (
        running(where.dsn) as (_, _, port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        status = "queued"
        while status in ("queued", "running"):
            await anyio.sleep(POLL_S)
            status = await connection.fetchval("SELECT status FROM pgbackfill.jobs WHERE name = $1", job)
        chunks = await _chunks(http)
    if status != "succeeded":
        said = await connection.fetchrow("SELECT error, wait_reason FROM pgbackfill.jobs WHERE name = $1", job)
        raise DaemonFailed(f"job {job} is {status}: {said}")
    seconds = await connection.fetchval(
        "SELECT extract(epoch FROM finished_at - started_at)::float8 FROM pgbackfill.jobs WHERE name = $1", job
    )
    await _verify(connection, job, poison)
    committed = chunks.pop("committed", 0)
    return Run(case, len(poison), seconds, committed, sum(chunks.values()))


async def _verify(connection: asyncpg.Connection, job: str, poison: list[int]) -> None:
    aside = await connection.fetchval(
        "SELECT coalesce(array_agg(q.key[1]::bigint ORDER BY q.key[1]::bigint), '{}') FROM pgbackfill.quarantine AS q"
        " JOIN pgbackfill.jobs AS j ON j.id = q.job_id WHERE j.name = $1",
        job,
    )
    if aside != poison:
        raise WrongResult(f"{job}: {len(aside)} rows were set aside, which are not the {len(poison)} that are bad")
    wrong = await connection.fetchval("SELECT count(*) FROM poisoned WHERE n <> divisor")
    if wrong:
        raise WrongResult(f"{job}: {wrong} rows were not changed exactly once")


async def measure(where: Target, args: argparse.Namespace) -> None:
    await migrate(where.dsn)
    connection = await asyncpg.connect(where.dsn)
    try:
        server = await facts.server(connection)
        cases = {
            "none": [],
            "scattered": scattered(args.rows, args.poison),
            f"{args.clusters} clusters": clustered(args.rows, args.poison, args.clusters),
        }
        runs = []
        for case, poison in cases.items():
            runs.append(await _run(where, connection, case.replace(" ", "-"), args.rows, poison))
            progress(f"{case}: {runs[-1].transactions} transactions, {runs[-1].seconds:.1f} s")
    finally:
        await connection.close()
    clean, *others = runs
    extra = {run.case: (run.transactions - clean.transactions) / run.poison for run in others}
    lines = [
        [run.case, str(run.poison), f"{run.seconds:.1f}", str(run.committed), str(run.rolled_back),
         f"{extra[run.case]:.1f}" if run.case in extra else "", _aim(run.case, extra)]
        for run in runs
    ]  # fmt: skip
    header = ["bad rows", "count", "seconds", "committed", "rolled back", "extra per bad row", "aim"]
    text = "\n\n".join([facts_text("server", server), table(header, lines), "every quarantine exact"])
    document = [
        {"case": run.case, "poison": run.poison, "seconds": run.seconds, "committed": run.committed,
         "rolled_back": run.rolled_back, "extra_per_row": extra.get(run.case)}
        for run in runs
    ]  # fmt: skip
    emit(args.json, {"server": server, "runs": document}, text)


def _aim(case: str, extra: dict[str, float]) -> str:
    if case not in extra:
        return ""
    return (SCATTERED_GOAL if case == "scattered" else Goal(extra["scattered"], at_least=False)).text(extra[case])


def main() -> None:
    args = _arguments()
    with target(args.dsn) as where:
        anyio.run(measure, where, args)


if __name__ == "__main__":
    main()
