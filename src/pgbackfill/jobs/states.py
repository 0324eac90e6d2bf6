"""The states of a job, as one table.

Wanted state (`desired_state`, written by people) and observed state (`status`, written by pgbackfill) are two columns:
nothing can be stuck in a "pausing". The trigger and the statements that move a job are in SQL; a test walks this table
through a real database and checks that what is not in it is refused.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: dict[Status, dict[str, Status]] = {
    Status.QUEUED: {"start": Status.RUNNING, "pause": Status.PAUSED, "cancel": Status.CANCELLED},
    Status.RUNNING: {
        "pause": Status.PAUSED,
        "cancel": Status.CANCELLED,
        "fail": Status.FAILED,
        "verify": Status.VERIFYING,
        "finish": Status.SUCCEEDED,
    },
    Status.PAUSED: {"resume": Status.QUEUED, "cancel": Status.CANCELLED},
    Status.VERIFYING: {
        "repair": Status.RUNNING,
        "pause": Status.PAUSED,
        "cancel": Status.CANCELLED,
        "fail": Status.FAILED,
        "finish": Status.SUCCEEDED,
    },
    Status.SUCCEEDED: {"retry_quarantined": Status.QUEUED},
    Status.FAILED: {"retry": Status.QUEUED, "retry_quarantined": Status.QUEUED},
    Status.CANCELLED: {"retry": Status.QUEUED},
}
"""Status, what happens, next status."""

FINISHED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})


class IllegalMove(ValueError):
    """The event is not in the table for that status; nothing changes."""


def move(status: Status, event: str) -> Status:
    """The status after `event`. Raises IllegalMove where the table has none."""
    try:
        return TRANSITIONS[status][event]
    except KeyError:
        allowed = ", ".join(TRANSITIONS[status]) or "nothing"
        raise IllegalMove(f"a {status} job cannot {event}; it can: {allowed}") from None
