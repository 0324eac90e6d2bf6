"""What people use today for the same change, each in the way its own documentation or custom has it.

All work on the bigint case, whose table and clauses are written into their scripts.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import anyio
import asyncpg

from benchmarks.harness.tables import CASES, TABLE

HERE = Path(__file__).parent
BATCH_ROWS = 5000

Work = Callable[[], Awaitable[object]]


class CompetitorFailed(Exception):
    """A competitor ended with an error."""


async def _run(name: str, command: list[str]) -> None:
    result = await anyio.run_process(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if result.returncode:
        raise CompetitorFailed(f"{name} failed: {result.stderr.decode(errors='replace').strip()[-1000:]}")


def _pg_batch(dsn: str, write_batch_rows: int) -> Work:
    url = urlsplit(dsn)
    case = CASES["bigint"]
    command = [sys.executable, "-m", "pg_batch", "--no_confirm"]
    command += ["--host", url.hostname or "127.0.0.1", "--port", str(url.port or 5432)]
    command += ["--user", unquote(url.username or "postgres"), "--password", unquote(url.password or "")]
    command += ["--database", unquote(url.path.lstrip("/") or "postgres"), "--table", TABLE]
    command += ["--where", case.where_clause, "--set", case.set_clause]
    # It reads 10,000 keys at a time by default and writes 50 rows at a time, which costs it most of its speed.
    command += ["--write_batch_size", str(write_batch_rows)]
    return lambda: _run("pg_batch", command)


def missing() -> list[str]:
    """What has to be installed first, in words."""
    lacking = []
    if shutil.which("psql") is None:
        lacking.append("the program psql")
    if importlib.util.find_spec("pg_batch") is None:
        lacking.append("the package pg_batch (pip install -r benchmarks/requirements.txt)")
    return lacking


async def competitors(connection: asyncpg.Connection, dsn: str) -> dict[str, Work]:
    """Name and work of each; creates the procedure that one of them needs."""
    await connection.execute((HERE / "procedure.sql").read_text())
    call = f"CALL pgbackfill_bench.commit_per_batch({BATCH_ROWS})"
    return {
        "PL/pgSQL, commit per 5000": lambda: connection.execute(call),
        "pg_batch, 5000 a write": _pg_batch(dsn, BATCH_ROWS),
        "pg_batch, default (50)": _pg_batch(dsn, 50),
        "IS NULL … OFFSET shell loop": lambda: _run("the shell loop", ["sh", str(HERE / "offset_loop.sh"), dsn]),
    }
