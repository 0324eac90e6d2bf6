"""What all probes that end in one number have in common: interval, limits, and what a failure means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf, isnan

import anyio
import asyncpg

from pgbackfill.control.signals import Limits, Reading
from pgbackfill.database.link import lost
from pgbackfill.errors import PgbackfillError
from pgbackfill.worker.context import Context


class Absent(PgbackfillError):
    """The signal is not to be had here, and work may go on without it; the message says what would help."""


class Unreadable(PgbackfillError):
    """The signal cannot be read now, so it is unknown."""


@dataclass(frozen=True, slots=True)
class Watched:
    """How a signal is shown and judged."""

    name: str
    unit: str
    soft: float | None
    hard: float | None
    interval_s: float
    slowest: float = 0.0

    @property
    def limits(self) -> Limits | None:
        if self.soft is None and self.hard is None:
            return None
        hard = inf if self.hard is None else self.hard
        return Limits(hard if self.soft is None else self.soft, hard, self.slowest)


Value = tuple[float | None, str]
"""A value, and what it is about."""


async def watch(context: Context, watched: Watched, read: Callable[[], Awaitable[Value]]) -> None:
    """Poll until cancelled; then the signal is gone. What `read` raises makes it unknown, `Absent` leaves it out."""
    try:
        while True:
            await _poll(context, watched, read)
            await anyio.sleep(watched.interval_s)
    finally:
        context.governor.forget(watched.name)
        context.notes.clear(watched.name)


async def _poll(context: Context, watched: Watched, read: Callable[[], Awaitable[Value]]) -> None:
    value: float | None = None
    detail = ""
    try:
        value, detail = await read()
    except Absent as error:
        context.notes.tell(watched.name, str(error), absent=True)
        context.governor.forget(watched.name)
        return
    except Exception as error:
        if not (isinstance(error, asyncpg.PostgresError | PgbackfillError) or lost(error)):
            raise
        context.notes.tell(watched.name, _sentence(error))
    else:
        if value is None or isnan(value):
            context.notes.tell(watched.name, "The query answers no number.")
        else:
            context.notes.clear(watched.name)
    now = context.now()
    reading = Reading(watched.name, value, now, detail, watched.unit, watched.interval_s)
    context.governor.observe(reading, watched.limits, now=now)


def _sentence(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "The query did not answer in time."
    return str(error) if isinstance(error, PgbackfillError) else f"The query failed: {error}"
