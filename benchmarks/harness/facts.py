"""The machine and the server on which a benchmark ran, to be printed beside its figures."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import asyncpg

SERVER_SETTINGS = (
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "wal_buffers",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "wal_level",
    "wal_compression",
    "autovacuum",
    "track_commit_timestamp",
    "jit",
)

FSYNC_PROBES = 50
"""Enough for a median; at 10 ms each, half a second on the slowest disk worth measuring on."""


def _first_match(path: str, prefix: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(prefix)), "unknown")


def fsync_milliseconds(folder: str | None = None) -> tuple[float, float]:
    """Median and maximum time of an 8 kB write with fdatasync, where temporary files live (where the embedded
    server keeps its data). A maximum far above the median is a disk too noisy to compare commits on."""
    took: list[float] = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(FSYNC_PROBES):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(8192), 0)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), max(took)


def machine() -> dict[str, str]:
    median, worst = fsync_milliseconds()
    load = os.getloadavg()
    return {
        "cpu": _first_match("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": _first_match("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load average at start": f"{load[0]:.2f} {load[1]:.2f} {load[2]:.2f}",
        "fdatasync of 8 kB": f"median {median:.2f} ms, maximum {worst:.2f} ms",
    }


async def server(connection: asyncpg.Connection) -> dict[str, str]:
    rows = await connection.fetch(
        "SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY($1) ORDER BY name",
        list(SERVER_SETTINGS),
    )
    version = await connection.fetchval("SELECT version()")
    return {"postgres": str(version).split(" on ")[0]} | {row["name"]: row["value"] for row in rows}
