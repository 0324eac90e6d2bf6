"""A job and a claimed range, as the database holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pgbackfill.control.options import PacingOptions


@dataclass(frozen=True, slots=True)
class Job:
    """One row of `pgbackfill.jobs`, as far as the daemon needs it."""

    id: int
    name: str
    table_name: str
    operation: str
    relation: int
    key_columns: tuple[str, ...]
    set_clause: str | None = None
    from_clause: str | None = None
    where_clause: str | None = None
    statement: str | None = None
    target_relation: int | None = None
    """The oid of the table that a copy goes to."""
    handler: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    from_key: tuple[str, ...] | None = None
    to_key: tuple[str, ...] | None = None
    session_settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    search_path: str = ""
    time_zone: str = "UTC"
    status: str = "running"
    desired_state: str = "run"
    prepared: bool = True
    finalizes: bool = False
    """Whether steps follow its last chunk."""
    kept_columns: tuple[str, ...] | None = None
    """What is kept of each changed row beside its key, for undo; None: nothing is."""
    throttle_ratio: float = 1.0
    """The share of its pace that people leave the job; 1 where nobody throttles it."""
    throttle_until: str | None = None
    """When that ends, in ISO 8601."""
    waits_for: str | None = None
    """Why nothing of the job may run now, as far as the database can say: its windows, another job, an approval."""
    only_while: tuple[str, ...] = ()
    """Conditions on signals, such as `checkout_load < 100`, outside of which nothing of the job may run."""

    def pacing(self, defaults: PacingOptions) -> PacingOptions:
        """The daemon's pacing options with this job's own on top; null means the default."""
        return defaults.with_own(self.options)


@dataclass(frozen=True, slots=True)
class Claim:
    """A range that this process may work on. `token` is a secret: only its hash is stored.

    The range begins at `lower_key` (which may be a prefix of the key), or after it where not `lower_inclusive`.
    """

    range_id: int
    job_id: int
    ordinal: int
    relation: int
    epoch: int
    token: bytes = field(repr=False)
    lower_key: tuple[str, ...] | None
    upper_key: tuple[str, ...]
    lower_inclusive: bool = True
    retry: bool = False
    """Whether it repeats the quarantined rows of another range."""
    milestones: tuple[tuple[str, ...], ...] = ()
    """Keys that the cursor has yet to pass; they tell how far it has come."""
