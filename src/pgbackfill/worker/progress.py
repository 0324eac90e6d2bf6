"""Shows jobs as metrics; reads the progress view, which has the last word on percent and ETA."""

from __future__ import annotations

import anyio
import asyncpg

from pgbackfill.database import reports
from pgbackfill.database.link import lost
from pgbackfill.errors import PgbackfillError

from .context import Context

INTERVAL_S = 1.0
"""What people look at is never older than the roster's own look at the job table."""

FINISHED = frozenset({"succeeded", "failed", "cancelled"})


async def show_progress(context: Context) -> None:
    """Until cancelled. Series of a finished job are removed after `metrics_retention_s`."""
    finished_at: dict[str, float] = {}
    forgotten: set[str] = set()
    shown: set[str] = set()
    while True:
        try:
            async with context.control.use() as control:
                rows = await reports.progress(control)
        except Exception as error:
            if not (lost(error) or isinstance(error, asyncpg.PostgresError | PgbackfillError)):
                raise
            await anyio.sleep(INTERVAL_S)
            continue
        now = context.now()
        for name in shown - {row["name"] for row in rows}:  # deleted, or too old to be listed
            context.metrics.forget(name)
        shown = {row["name"] for row in rows}
        for row in rows:
            name = row["name"]
            if row["status"] not in FINISHED:
                finished_at.pop(name, None)
                forgotten.discard(name)
            elif now - finished_at.setdefault(name, now) > context.settings.metrics_retention_s:
                if name not in forgotten:
                    context.metrics.forget(name)
                    forgotten.add(name)
                continue
            context.metrics.job(name, row["status"], (row["percent"] or 0) / 100, *(_seconds(row[eta]) for eta in ETA))
            ratio = 1.0 if row["status"] in FINISHED else min(row["throttle_ratio"] or 1.0, context.throttle.ratio)
            context.metrics.throttle(name, ratio)
        await anyio.sleep(INTERVAL_S)


ETA = ("eta_low", "eta_high")


def _seconds(interval: object) -> float | None:
    return interval.total_seconds() if hasattr(interval, "total_seconds") else None
