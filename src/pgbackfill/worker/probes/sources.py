"""The built-in signals with two thresholds: which query, what unit, which rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Source:
    """A block of thresholds.sql. `slowest`: how far the signal slows, for those that our pace hardly moves."""

    name: str
    unit: str
    slowest: float = 0.0
    takes: Literal["ignored_slots", "walked"] | None = None
    needs_stats: bool = False
    """Without pg_read_all_stats it would read healthy whatever happens."""
    without_right: str | None = None
    """The block for logins that may not run the first one."""
    before_17: str | None = None
    """The block for servers older than 17."""
    window_s: float | None = None
    """The query answers a counter, and the value is its increase over this time."""


SOURCES = (
    Source("slot_wal_used", "%", takes="ignored_slots"),
    Source("slot_retained", "B", takes="ignored_slots"),
    Source("logical_lag", "B", takes="ignored_slots"),
    Source("archive_backlog", " segments", without_right="archive_backlog_estimate"),
    Source("requested_checkpoints", "", slowest=0.5, before_17="requested_checkpoints_16", window_s=300.0),
    Source("autovacuum", "s", slowest=0.5, takes="walked", needs_stats=True),
    Source("dead_tuples", "%", slowest=0.5, takes="walked"),
    Source("connections", "%", slowest=0.25),
    Source("oldest_transaction", "s", slowest=0.5, needs_stats=True),
)
