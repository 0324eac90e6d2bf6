"""Watches a job's range row from outside: when was which chunk committed, on the database's clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

import anyio
import asyncpg

POLL_S = 0.005
"""Well below a chunk, so that no chunk number is missed; a poll takes a fraction of a millisecond."""

_CHUNK = """
SELECT r.chunk_no, coalesce(r.chunk_ms, 0) AS chunk_ms, extract(epoch FROM clock_timestamp())::float8 AS now,
       extract(epoch FROM CASE WHEN current_setting('track_commit_timestamp')::bool
                               THEN pg_xact_commit_timestamp(r.xmin) END)::float8 AS committed_at
FROM pgbackfill.ranges AS r JOIN pgbackfill.jobs AS j ON j.id = r.job_id
WHERE j.name = $1 ORDER BY r.ordinal LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Chunk:
    """`committed_at` is in seconds of this process's clock."""

    number: int
    chunk_ms: float
    committed_at: float


class RangeWatch:
    """The latest chunk of a job of one range."""

    def __init__(self, connection: asyncpg.Connection, job: str) -> None:
        self.latest = Chunk(0, 0.0, 0.0)
        self._connection = connection
        self._job = job
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Polls until cancelled."""
        while True:
            before = time.time()
            row = await self._connection.fetchrow(_CHUNK, self._job)
            after = time.time()
            if row is not None and row["chunk_no"] > self.latest.number:
                # The database's clock was read between the two, so its offset is known to half of their distance.
                offset = row["now"] - (before + after) / 2
                committed_at = after if row["committed_at"] is None else row["committed_at"] - offset
                self.latest = Chunk(row["chunk_no"], row["chunk_ms"], committed_at)
                self._changed.set()
                self._changed = anyio.Event()
            await anyio.sleep(POLL_S)

    async def grown(self, chunks: int) -> None:
        """Returns when that many more chunks were seen."""
        goal = self.latest.number + chunks
        while self.latest.number < goal:
            await self._changed.wait()

    async def quiet(self, seconds: float) -> None:
        """Returns when no chunk was seen for that long, counted from now."""
        while True:
            with anyio.move_on_after(seconds) as scope:
                await self._changed.wait()
            if scope.cancelled_caught:
                return
