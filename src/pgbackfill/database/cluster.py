"""Which cluster a process works on, so that it never goes on with another one, or with a primary of the past."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from pgbackfill.jobs.failures import Failure, classify

from .queries import load
from .types import Connection


@dataclass(frozen=True, slots=True)
class Wrong:
    """What a server is instead, in words that follow "The database … is"."""

    sentence: str
    brief: str


@dataclass
class Cluster:
    """One per process; every connection that has to lead to the primary is held against it.

    A failover begins a new timeline with a higher number, so a primary with a lower one than was seen before is the
    old one, come back: what is written there will be thrown away.
    """

    system_identifier: int | None = None
    timeline: int | None = None
    """The highest that was seen. None, both of them: not seen yet, or not to be read there (Aurora, Neon)."""

    async def wrong(self, connection: Connection) -> Wrong | None:
        """Why this primary is not the one to work on; None where it is, and that is remembered, or cannot tell."""
        try:
            row = await connection.fetchrow(load("signals")["identity"])
        except asyncpg.PostgresError as error:
            if classify(error.sqlstate) is Failure.DISCONNECTED:
                raise
            return None
        assert row is not None, "a query without a FROM answers a row"
        identifier, timeline = row["system_identifier"], row["timeline"]
        if self.system_identifier not in (None, identifier):
            return Wrong(
                f"on another cluster (system identifier {identifier}) than this process began with"
                f" ({self.system_identifier}); restart pgbackfill if that is meant",
                f"another cluster: system identifier {identifier}, not {self.system_identifier}",
            )
        if self.timeline is not None and timeline < self.timeline:
            return Wrong(
                f"an old primary (timeline {timeline}; {self.timeline} has been seen);"
                " stop it, or take it out of the DSN",
                f"old primary: timeline {timeline}, after {self.timeline}",
            )
        self.system_identifier, self.timeline = identifier, timeline
        return None
