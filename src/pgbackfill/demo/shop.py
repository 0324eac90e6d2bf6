"""The tables of the demonstration, its job, and the proof that the job did what it should."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any

import anyio

from pgbackfill.demo.connection import connected

JOB = "orders-summary"
# Chunks of about 2000 rows of this job take near the default target time. The limits on lag are tighter than the
# defaults (1 s and 5 s), so that a minute is enough to see a hold and the recovery.
OPTIONS: dict[str, Any] = {"chunk_max_rows": 2000, "lag_soft_s": 0.5, "lag_hard_s": 1.5}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many orders there are, and how many do not carry the summary that they should."""

    rows: int
    wrong: int


def _sql(name: str, **numbers: int) -> str:
    text = (files(__package__) / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    return Template(text).substitute(numbers) if numbers else text


async def load(dsn: str, rows: int) -> None:
    """Create and fill the shop with `rows` orders; the two large tables at the same time."""

    async def build(table: str) -> None:
        async with connected(dsn) as connection:
            await connection.execute(_sql(table, rows=rows))
            await connection.execute(_sql(f"{table}_keys"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(build, "orders")
        tasks.start_soon(build, "order_items")
    async with connected(dsn) as connection:
        await connection.execute(_sql("migration"))
        await connection.execute("VACUUM (ANALYZE)")
        # So that no checkpoint of the load falls into the measurement.
        await connection.execute("CHECKPOINT")


async def enqueue(dsn: str) -> None:
    """Insert the job, as a migration would."""
    async with connected(dsn) as connection:
        await connection.execute(_sql("job"), json.dumps(OPTIONS))


async def verify(dsn: str) -> Verdict:
    """Compare every order's summary with the expected one, computed independently of the job."""
    async with connected(dsn) as connection:
        row = await connection.fetchrow(_sql("verify"))
        assert row is not None
        return Verdict(row["rows"], row["wrong"])
