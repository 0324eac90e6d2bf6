"""What goes into the decision core and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class RunChunk:
    """Run one chunk of at most `rows` rows now."""

    rows: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for `seconds`, then ask again.

    `reason` is None for the ordinary sleep between chunks; for a hold it says why, in the form
    `replica_lag 6.2s > 5s (replica-b)`.
    """

    seconds: float
    reason: str | None = None


Decision = RunChunk | Wait


class Outcome(StrEnum):
    """How a chunk ended. The values are the `outcome` label of `pgbackfill_chunks_total`."""

    COMMITTED = "committed"
    """Committed, and the range may go on."""
    RETRY = "retry"
    """Rolled back by a deadlock, a time-out or a serialization failure: the same rows again, fewer at a time."""
    POISON = "poison"
    """Rolled back by a row that cannot be changed (SQLSTATE class 22 or 23): bisect to it."""
    LOST = "lost"
    """The connection or the lease is gone; nothing is known about the rows."""
    FAILED = "failed"
    """Wrong SQL or missing rights: the job cannot go on."""


@dataclass(frozen=True, slots=True)
class ChunkSample:
    """What one chunk cost.

    `rows_asked` is the size that was decided, `rows_scanned` what was found (fewer at the end of a range),
    `seconds` the whole transaction as the server and the client saw it, `wal_bytes` the chunk's own WAL, `outside_s`
    what was spent on it before the transaction began and without burdening the server (computing new values elsewhere).
    """

    outcome: Outcome
    rows_asked: int
    rows_scanned: int
    rows_changed: int
    wal_bytes: int
    seconds: float
    at_end: bool = False
    """Whether the range ended before the chunk was as large as asked. Gaps in the key can make it smaller as well."""
    outside_s: float = 0.0
