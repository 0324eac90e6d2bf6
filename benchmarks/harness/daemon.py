"""The daemon as a user runs it: a subprocess with default settings, a job that is one SQL INSERT."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import anyio.abc
import asyncpg

from .processes import ProcessSample, Watch
from .tables import TABLE, Case, WrongResult

EXIT_TIMEOUT_S = 60


class DaemonFailed(Exception):
    """The daemon ended with an error, or its job did."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One finished job. `seconds` is finished_at - started_at on the database's clock; `samples` lie in between."""

    seconds: float
    rows_scanned: int
    rows_changed: int
    chunks: int
    samples: list[ProcessSample]


def environment(dsn: str, **settings: str) -> dict[str, str]:
    """Nothing of the caller's own configuration may reach the daemon, or its settings would not be the defaults."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PGBACKFILL_", "PG"))}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return kept | {"PGBACKFILL_DSN": dsn, "PGBACKFILL_HTTP__PORT": str(port)} | settings


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pgbackfill", *arguments]


async def said(dsn: str, *words: str) -> str:
    """What a command prints. Raises DaemonFailed with what it complains of."""
    done = await anyio.run_process(command(*words), env=environment(dsn), check=False, stderr=subprocess.PIPE)
    if done.returncode:
        raise DaemonFailed(f"pgbackfill {words[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


async def migrate(dsn: str) -> None:
    """Installs the schema."""
    result = await anyio.run_process(command("migrate"), env=environment(dsn), check=False, stderr=subprocess.STDOUT)
    if result.returncode:
        raise DaemonFailed(f"pgbackfill migrate failed: {result.stdout.decode(errors='replace').strip()}")


async def enqueue(connection: asyncpg.Connection, case: Case, name: str) -> None:
    """The name is free afterwards only if the job is deleted; every run uses its own."""
    await connection.execute(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, where_clause) VALUES ($1, $2, $3, $4)",
        name,
        TABLE,
        case.set_clause,
        case.where_clause,
    )


@contextlib.asynccontextmanager
async def running(dsn: str, *arguments: str, **settings: str) -> AsyncIterator[tuple[anyio.abc.Process, Watch, int]]:
    """The daemon, watched, and the port of its HTTP listener; stopped on leaving, unless it ended by itself."""
    watch = Watch()
    env = environment(dsn, **settings)
    with tempfile.TemporaryFile() as log:
        process = await anyio.open_process(command("run", *arguments), env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(watch.run, process.pid)
                yield process, watch, int(env["PGBACKFILL_HTTP__PORT"])
                if process.returncode is None:
                    process.send_signal(signal.SIGTERM)
                with anyio.fail_after(EXIT_TIMEOUT_S):
                    await process.wait()
                group.cancel_scope.cancel()
            if process.returncode:
                log.seek(0)
                end = log.read().decode(errors="replace").strip()[-2000:]
                raise DaemonFailed(f"pgbackfill run ended with exit code {process.returncode}: {end}")
        finally:
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.aclose()


async def drain(dsn: str, connection: asyncpg.Connection, case: Case, name: str, rows: int) -> JobRun:
    """Enqueues the case's job, runs `pgbackfill run --drain` until it exits, and reads what the job took.

    Raises DaemonFailed, and WrongResult when a row was visited twice or not at all.
    """
    await enqueue(connection, case, name)
    async with running(dsn, "--drain") as (process, watch, _):
        await process.wait()
    job = await connection.fetchrow(
        "SELECT j.status, j.error, j.started_at, j.finished_at,"
        " sum(r.rows_scanned)::bigint AS scanned, sum(r.rows_changed)::bigint AS changed,"
        " sum(r.chunk_no)::bigint AS chunks"
        " FROM pgbackfill.jobs AS j LEFT JOIN pgbackfill.ranges AS r ON r.job_id = j.id WHERE j.name = $1"
        " GROUP BY j.id",
        name,
    )
    if job is None or job["status"] != "succeeded":
        raise DaemonFailed(f"job {name} is {job and job['status']}: {job and job['error']}")
    if job["scanned"] != rows:
        raise WrongResult(f"{case.name}: {rows} rows should be scanned once, but {job['scanned']} were")
    start, end = job["started_at"], job["finished_at"]
    return JobRun(
        seconds=(end - start).total_seconds(),
        rows_scanned=job["scanned"],
        rows_changed=job["changed"],
        chunks=job["chunks"],
        samples=watch.between(start.timestamp(), end.timestamp()),
    )
