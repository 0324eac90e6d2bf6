"""The rows that a job could not change, for the command line."""

from __future__ import annotations

from typing import Any

import asyncpg

from .queries import load
from .reports import UnknownJob, progress_of, translated
from .types import Connection


async def entries(connection: Connection, name: str, limit: int) -> list[dict[str, Any]]:
    """Key, SQLSTATE, message and time of the first `limit` quarantined rows. Raises UnknownJob."""
    await progress_of(connection, name)
    with translated():
        return [dict(row) for row in await connection.fetch(load("reports")["quarantine_list"], name, limit)]


async def retry(connection: Connection, name: str) -> int:
    """Lets the quarantined rows be run again; how many. Raises UnknownJob, and UsageError where the job cannot now."""
    with translated():
        try:
            count: int = await connection.fetchval(load("reports")["retry_quarantined"], name)
        except asyncpg.NoDataFoundError:
            raise UnknownJob(f"There is no job {name!r}; `pgbackfill status` lists them.") from None
    return count
