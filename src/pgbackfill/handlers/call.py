"""What a handler is given, and what it may raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
"""One row by column name, as asyncpg decodes it; json and jsonb are parsed."""


class TryLater(Exception):
    """What the handler depends on is not there: the job holds, says so, and tries the same rows again, 0.25 s to 10 s
    apart. No row is blamed."""


@dataclass(frozen=True, slots=True)
class Call:
    """Of one call of a handler.

    `resource` is what the handler's `uses` opened; `log` is a structlog logger that names the job; `concurrency` calls
    run at the same time in this lane; after `timeout_s` seconds the call is cancelled; `max_rows_per_s` is the job's
    limit, if it has one.
    """

    job: str
    log: Any
    concurrency: int
    timeout_s: float
    max_rows_per_s: float | None
    asked_to_stop: Callable[[], bool]
    resource: Any = None

    @property
    def stopping(self) -> bool:
        """Whether somebody paused or cancelled the job or stops the daemon: a long call may give up by `TryLater`."""
        return self.asked_to_stop()
