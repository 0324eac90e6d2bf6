"""Shows jobs as metrics and keeps their history, by the progress view, which has the last word on percent and ETA."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import anyio
import asyncpg

from pgbackfill.control.signals import Level
from pgbackfill.database import reports
from pgbackfill.database.link import lost
from pgbackfill.errors import PgbackfillError

from .context import Context
from .history import Look
from .holds import kind_of

INTERVAL_S = 1.0
"""What people look at is never older than the roster's own look at the job table."""

FINISHED = frozenset({"succeeded", "failed", "cancelled"})


async def show_progress(context: Context) -> None:
    """Until cancelled. Series of a finished job are removed after `metrics_retention_s`."""
    finished_at: dict[str, float] = {}
    forgotten: set[str] = set()
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
        names = {row["name"] for row in rows}
        for name in context.shown - names:  # deleted, or too old to be listed
            context.metrics.forget(name)
            context.history.forget(name)
            finished_at.pop(name, None)
            forgotten.discard(name)
        context.shown = names
        _remember(context, rows)
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


def _remember(context: Context, rows: list[dict[str, Any]]) -> None:
    """One look at every job that has begun and is not finished."""
    at = round(time.time(), 3)  # as the page is told, so that what it asks for since then is new
    signals = _signals(context)
    for row in rows:
        if row["started_at"] is not None and row["status"] not in FINISHED:
            context.history.add(row["name"], _look(row, at, signals))
    context.history.expire(at)


def _look(row: Mapping[str, Any], at: float, signals: Mapping[str, float | None]) -> Look:
    paused = "paused" if row["status"] == "paused" else None
    hold = kind_of(row["hold_reason"]) or paused
    return Look(
        at,
        row["rows_scanned"],
        chunk_rows=row["chunk_rows"],
        chunk_ms=row["chunk_ms"],
        sleep_ms=row["sleep_ms"],
        hold=hold,
        lag_s=signals["lag_s"],
        canary_read_s=signals["canary_read_s"],
        canary_write_s=signals["canary_write_s"],
    )


def _signals(context: Context) -> dict[str, float | None]:
    """The worst replica's lag and the canaries, in seconds, under the names of a `Look`."""
    found: dict[str, float | None] = {"lag_s": None, "canary_read_s": None, "canary_write_s": None}
    series = {"replica_lag": "lag_s", "canary_read": "canary_read_s", "canary_write": "canary_write_s"}
    unknown = set()
    for signal in context.governor.signals(context.now()):
        name = series.get(signal.name)
        if name is None:
            continue
        if signal.level is Level.UNKNOWN or signal.value is None:
            unknown.add(name)
        else:
            found[name] = max(found[name] or 0.0, signal.value)
    return found | dict.fromkeys(unknown)


ETA = ("eta_low", "eta_high")


def _seconds(interval: object) -> float | None:
    return interval.total_seconds() if hasattr(interval, "total_seconds") else None
