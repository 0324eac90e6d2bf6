"""The application beside the backfill: pgbench at a fixed rate, every transaction's latency kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc

LONGEST_S = 600
FLUSH_S = 0.7
"""pgbench writes its log in blocks of 4 kB: some 100 transactions. Their end comes after the last one that counts."""

CALIBRATION_S = 2

FIRST = ("nice", "-n", "-10") if os.geteuid() == 0 else ()
"""pgbench goes before everybody else where that is allowed: an application has processors of its own, and how long its
client waits for one beside the server is nothing that a contender does to the database. Measured without: in-server
time unchanged, p95 from 25 to 77 ms by turns of the scheduler."""

READ_AND_COUNT = """
\\set id random(1, :rows)
\\set shop random(1, 1000)
SELECT email, email_lower FROM users WHERE id = :id;
UPDATE shop SET visits = visits + 1 WHERE id = :shop;
"""

COMPUTE = """
\\set id random(1, :rows)
SELECT email, (SELECT count(md5(g::text)) FROM generate_series(1, 1000) AS g) FROM users WHERE id = :id;
"""

HOT_ROWS = """
\\set hot random(2, 200)
BEGIN;
UPDATE users SET hits = hits + 1 WHERE id = :rows / 200 * :hot;
UPDATE users SET hits = hits + 1 WHERE id = :rows / 200 * (:hot - 1);
END;
"""
"""200 hot rows, two neighbours a transaction, the higher one first: against the order in which a backfill locks."""


class ForegroundFailed(Exception):
    """pgbench ended with an error, or left no log of the time that counts."""


@dataclass(frozen=True, slots=True)
class Surge:
    """So much more, from `at_s` after the start for `seconds`; `rate` as in Foreground."""

    at_s: float
    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Foreground:
    """`rate` is transactions a second, or, `of_machine`, a share of all that the machine can do of them."""

    script: str
    rate: float
    clients: int = 4
    of_machine: bool = False
    surge: Surge | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """`at` is Unix time of its arrival, so that what waits for a client counts; `ms` from then to its end."""

    at: float
    ms: float


@dataclass(slots=True)
class Traffic:
    """pgbench under way on one database."""

    dsn: str
    rows: int
    folder: Path
    processes: list[anyio.abc.Process] = field(default_factory=list)

    async def start(self, plan: Foreground, rate: float, seconds: float = LONGEST_S) -> None:
        number = len(self.processes)
        script = self.folder / f"{number}.sql"
        script.write_text(plan.script)
        command = [
            *FIRST,
            "pgbench",
            "--no-vacuum",
            "-R",
            f"{rate:g}",
            "-c",
            str(plan.clients),
            "-T",
            f"{max(1, round(seconds))}",
        ]
        command += ["--max-tries=10", "--log", f"--log-prefix={self.folder / f'log-{number}'}"]
        command += ["-D", f"rows={self.rows}", "-f", str(script), self.dsn]
        self.processes.append(
            await anyio.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment())
        )

    async def stop(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()
            if process.returncode not in (0, -signal.SIGTERM) and process.stderr is not None:
                message = b"".join([part async for part in process.stderr])
                raise ForegroundFailed(f"pgbench failed: {message.decode(errors='replace').strip()[-500:]}")
            await process.aclose()

    def transactions(self, since: float, until: float) -> list[Transaction]:
        """Those that arrived in between, in Unix time."""
        found = [one for path in sorted(self.folder.glob("log-*")) for one in read_log(path.read_text())]
        inside = [one for one in found if since <= one.at <= until]
        if not inside:
            raise ForegroundFailed("pgbench logged no transaction in the time that counts")
        return inside


def read_log(text: str) -> Iterator[Transaction]:
    """Lines of pgbench's per-transaction log; a last one that was cut off is left out, and so are failed ones."""
    complete = text[: text.rfind("\n") + 1]
    for line in complete.splitlines():
        _, _, took, _, seconds, micros, *_ = line.split()
        if took.isdecimal():
            end = int(seconds) + int(micros) / 1e6
            yield Transaction(end - int(took) / 1e6, int(took) / 1000)


def missing() -> bool:
    """Whether pgbench has to be installed first."""
    return shutil.which("pgbench") is None


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


@contextlib.asynccontextmanager
async def traffic(dsn: str, rows: int) -> AsyncIterator[Traffic]:
    """Nothing runs yet; whatever was started is over when the context ends."""
    with tempfile.TemporaryDirectory(prefix="race-") as folder:
        running = Traffic(dsn, rows, Path(folder))
        try:
            yield running
        finally:
            for process in running.processes:
                if process.returncode is None:
                    process.kill()
                with anyio.CancelScope(shield=True):
                    await process.wait()


async def most_per_second(dsn: str, rows: int, plan: Foreground) -> float:
    """Transactions a second that the whole machine can do: those of one client without pause, times its cores.

    Client and server take turns in such a loop, so it keeps about one core busy, pgbench's own share included.
    """
    with tempfile.TemporaryDirectory(prefix="race-") as folder:
        script = Path(folder) / "script.sql"
        script.write_text(plan.script)
        command = [
            *FIRST,
            "pgbench",
            "--no-vacuum",
            "-c",
            "1",
            "-T",
            str(CALIBRATION_S),
            "-D",
            f"rows={rows}",
            "-f",
            str(script),
            dsn,
        ]
        result = await anyio.run_process(command, check=False, env=_environment(), stderr=subprocess.STDOUT)
    lines = [line for line in result.stdout.decode().splitlines() if line.startswith("tps = ")]
    if result.returncode or not lines:
        raise ForegroundFailed(f"pgbench failed: {result.stdout.decode(errors='replace').strip()[-500:]}")
    return float(lines[0].split()[2]) * (os.cpu_count() or 1)
