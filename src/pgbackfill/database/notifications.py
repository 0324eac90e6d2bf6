"""What is to be told by webhook, and who tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from .queries import load
from .types import Connection

LOOK_BACK_S: Final = 3_600.0
"""What happened while no daemon ran is told by the next one, if it is not older than this."""

BACKOFF_FIRST_S: Final = 5.0
BACKOFF_MOST_S: Final = 600.0
ATTEMPTS_MOST: Final = 10
"""Five seconds, doubling up to ten minutes: in all about half an hour, which outlasts a restart of whoever listens."""


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that happened to a job, `age_s` seconds ago; `attempts` counts this one."""

    id: int
    job_id: int
    kind: str
    job: str
    database: str
    at: datetime
    age_s: float
    reason: str | None
    attempts: int

    @property
    def last_attempt(self) -> bool:
        return self.attempts >= ATTEMPTS_MOST


async def note(connection: Connection, kinds: Sequence[str], *, held_s: float) -> None:
    """Notes what has happened and nobody has noted: events of these kinds, and holds that last longer than `held_s`."""
    await connection.execute(_sql("note_events"), LOOK_BACK_S, list(kinds))
    if "held" in kinds:
        await connection.execute(_sql("note_holds"), held_s)


async def claim(connection: Connection, *, timeout_s: float) -> Notification | None:
    """The next one to send, for this daemon alone during `timeout_s` and the pause before the next attempt."""
    row = await connection.fetchrow(_sql("claim"), timeout_s, BACKOFF_FIRST_S, BACKOFF_MOST_S, ATTEMPTS_MOST)
    return Notification(**dict(row)) if row is not None else None


async def sent(connection: Connection, notification: Notification) -> None:
    """Nobody has to try again."""
    await connection.execute(_sql("sent"), notification.id)


def _sql(name: str) -> str:
    return load("notifications")[name]
