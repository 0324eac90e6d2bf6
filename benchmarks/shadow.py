"""What does an application notice while its table is replaced?

Writers change, add and delete rows at a steady rate while the commands of a shadow run as a person runs them: create,
the copy by a daemon, verify, cutover, rollback, cutover, drop. For each phase: statements, how many failed, how long
they took. The new table has another key type. The writers keep to a schedule, so that one late statement does not thin
out those after it. --plot and --filler-bytes change nothing here.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import anyio
import asyncpg

from benchmarks.harness import arguments, facts
from benchmarks.harness.daemon import DaemonFailed, command, environment, migrate
from benchmarks.harness.report import Goal, emit, progress, table
from benchmarks.harness.report import facts as facts_text
from benchmarks.harness.server import target

TABLE = """
DROP TABLE IF EXISTS bench_items, bench_orders, bench_orders_old, bench_orders_shadow CASCADE;
CREATE TABLE bench_orders (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, customer int, note text);
CREATE TABLE bench_items (id serial PRIMARY KEY, order_id int REFERENCES bench_orders ON DELETE CASCADE);
INSERT INTO bench_orders SELECT i, 0, i % 1000, repeat('x', 80) FROM generate_series(1, {rows}) AS i;
CREATE INDEX ON bench_orders (customer);
INSERT INTO bench_items (order_id) SELECT i FROM generate_series(1, {rows}, 10) AS i;
ANALYZE bench_orders, bench_items;
"""
PHASES = ("before", "create", "copy", "verify", "cutover", "rollback", "cutover again", "drop", "after")
WRITERS = 4
LONGEST = Goal(250, at_least=False)


@dataclass
class Writers:
    """`seconds` and `failures` of every statement, by the phase in which it began."""

    dsn: str
    rows: int
    rate: float
    phase: str = "before"
    stop: bool = False
    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PHASES})
    failures: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in PHASES})

    async def run(self, number: int) -> None:
        chance, connection = random.Random(number), await asyncpg.connect(self.dsn)
        begin, count = perf_counter(), 0
        while not self.stop:
            count += 1
            await anyio.sleep(max(0.0, begin + count * WRITERS / self.rate - perf_counter()))
            key, new = chance.randint(1, self.rows), self.rows + number + WRITERS * count
            statement = chance.choice(
                (
                    f"UPDATE bench_orders SET n = n + 1 WHERE id = {key}",
                    f"INSERT INTO bench_orders (id, customer) VALUES ({new}, 7)",
                    f"DELETE FROM bench_orders WHERE id = {key}",
                    f"UPDATE bench_orders SET id = {2_000_000_000 - new} WHERE id = {key} AND id % 10 <> 1",
                )
            )
            phase, started = self.phase, perf_counter()
            try:
                await connection.execute(statement)
            except asyncpg.PostgresError as error:
                self.failures[phase].append(f"{type(error).__name__}: {error}")
            self.seconds[phase].append(perf_counter() - started)
        await connection.close()


async def _pgbackfill(dsn: str, *words: str) -> None:
    env = environment(dsn, PGBACKFILL_HTTP__ENABLED="false")
    done = await anyio.run_process(command(*words), env=env, check=False, stderr=subprocess.STDOUT)
    if done.returncode:
        raise DaemonFailed(f"pgbackfill {' '.join(words)}: {done.stdout.decode(errors='replace').strip()[-500:]}")


async def _measure(dsn: str, args: argparse.Namespace) -> tuple[Writers, dict[str, float], dict[str, str]]:
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "DELETE FROM pgbackfill.shadows; DELETE FROM pgbackfill.jobs WHERE name LIKE 'shadow-bench-%'"
    )
    await connection.execute(TABLE.format(rows=args.rows))
    writers, lasted = Writers(dsn, args.rows, args.rate), dict[str, float]()
    alter = ("--alter", "ALTER COLUMN id TYPE bigint")
    commands: dict[str, tuple[str, ...] | None] = {
        "before": None,
        "create": ("shadow", "create", "bench", "bench_orders", *alter),
        "copy": ("run", "--drain"),
        "verify": ("shadow", "verify", "bench"),
        "cutover": ("shadow", "cutover", "bench"),
        "rollback": ("shadow", "rollback", "bench"),
        "cutover again": ("shadow", "cutover", "bench"),
        "drop": ("shadow", "drop", "bench"),
        "after": None,
    }
    async with anyio.create_task_group() as tasks:
        for number in range(WRITERS):
            tasks.start_soon(writers.run, number)
        for phase, words in commands.items():
            progress(phase)
            writers.phase, started = phase, perf_counter()
            await (_pgbackfill(dsn, *words) if words is not None else anyio.sleep(args.idle))
            lasted[phase] = perf_counter() - started
            if phase in ("cutover", "rollback", "cutover again"):
                await _pgbackfill(dsn, "shadow", "verify", "bench")  # raises where the tables differ
        writers.stop = True
    server = await facts.server(connection)
    await connection.close()
    return writers, lasted, server


def _row(phase: str, writers: Writers, lasted: float) -> dict[str, Any]:
    seconds = sorted(writers.seconds[phase])
    p99 = statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else 0.0
    return {
        "phase": phase, "seconds": round(lasted, 2), "statements": len(seconds),
        "failed": len(writers.failures[phase]), "p50_ms": round(statistics.median(seconds) * 1000, 2),
        "p99_ms": round(p99 * 1000, 1), "max_ms": round(seconds[-1] * 1000, 1),
    }  # fmt: skip


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--rows", type=arguments.positive, default=300_000, help="rows of the table (300000)")
    parser.add_argument("--rate", type=arguments.positive, default=200, help="statements a second of all writers (200)")
    parser.add_argument("--idle", type=arguments.positive, default=3, help="seconds before and after (3)")
    args = parser.parse_args()
    if args.quick:
        args.rows = min(args.rows, 50_000)
    with target(args.dsn) as where:
        writers, lasted, server = anyio.run(_measure, where.dsn, args)
    rows = [_row(phase, writers, lasted[phase]) for phase in PHASES]
    failed, longest = sum(row["failed"] for row in rows), max(row["max_ms"] for row in rows)
    header = ("phase", "seconds", "statements", "failed", "p50_ms", "p99_ms", "max_ms")
    said = [text for texts in writers.failures.values() for text in texts][:3]
    text = "\n\n".join(
        [
            facts_text("Machine", facts.machine()),
            facts_text("Server", server),
            table(header, [[str(row[name]) for name in header] for row in rows]),
            f"Failed statements: {failed}{' (' + '; '.join(said) + ')' if said else ''}."
            f" Longest: {longest:g} ms ({LONGEST.text(longest)}).",
        ]
    )
    emit(args.json, json.loads(json.dumps({"phases": rows, "failed": failed, "longest_ms": longest})), text)
    raise SystemExit(0 if failed == 0 and LONGEST.met(longest) else 1)


if __name__ == "__main__":
    main()
