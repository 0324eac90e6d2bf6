"""How a chunk can end, and what can be known of it while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CommitRefused(Exception):
    """COMMIT answered ROLLBACK: the transaction had been aborted without an error that we saw."""

    sqlstate = "40000"


class LeafMoved(Exception):
    """The table behind the claimed range is not the one it was: renamed, detached or dropped."""


class NotExactlyLocked(Exception):
    """The change reached other rows than those that were locked before, or would look at far more: run the chunk
    again, joined."""


class OtherPlan(Exception):
    """The change went by another way than the key's only index: one was made since the walk was opened."""


class Stage(StrEnum):
    """What a chunk is at: only where rows are judged or changed can a row be to blame for an error."""

    BEGIN = "begin"
    FIND = "find"
    PLAN = "plan"
    CHANGE = "change"
    STORE = "store"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class Backend:
    """The server process of an open chunk: never named without its transaction, because a pooler, or a crash, may give
    the process to somebody else. `since` is on the clock of `perf_counter`."""

    pid: int
    xid: str
    since: float


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What a committed chunk did. `seconds` is the whole transaction, `outside_s` what was spent before it began;
    `stop` is a desired state other than `run`."""

    rows_scanned: int
    rows_changed: int
    wal_bytes: int
    seconds: float
    finished: bool
    stop: str | None = None
    outside_s: float = 0.0
