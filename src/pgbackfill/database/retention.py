"""Removes what is older than it has to be: a little at a time, because heartbeats come through the same connection."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from .queries import load
from .types import Connection

MOST_ROWS: Final = 1000
"""Of each kind in one call: some 10 ms."""


async def prune(connection: Connection, *, events_days: float, jobs_days: float) -> bool:
    """Removes workers, events, notifications and finished jobs (0 days: these are kept); True once nothing is left."""
    sql = load("retention")
    events = timedelta(days=events_days)
    await connection.execute(sql["workers"])
    removed: list[int] = [
        await connection.fetchval(sql["events"], events, MOST_ROWS),
        await connection.fetchval(sql["notifications"], events, MOST_ROWS),
        await connection.fetchval(sql["jobs"], timedelta(days=jobs_days), MOST_ROWS) if jobs_days else 0,
    ]
    return max(removed) < MOST_ROWS
