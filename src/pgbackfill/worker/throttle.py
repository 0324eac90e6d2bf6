"""A throttle of this process, and the end of what people limited in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from pgbackfill.jobs.job import Job

if TYPE_CHECKING:
    from .context import Context

log = structlog.get_logger()

NOTHING_ENDS_S = 3600.0
"""How long to sleep where no end is set; whoever sets one rings."""


class Throttle:
    """At most one at a time: the last word counts. Times are monotonic seconds."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.ratio = 1.0
        """The share of its pace that every job of this process makes."""
        self.until: float | None = None
        self._on_change = on_change

    def begin(self, ratio: float, until: float) -> None:
        self.ratio, self.until = ratio, until
        self._on_change()

    def end(self) -> bool:
        """True where this changed anything."""
        changed, self.ratio, self.until = self.until is not None, 1.0, None
        if changed:
            self._on_change()
        return changed


def tell_throttle(before: Job | None, job: Job) -> None:
    """Logs a throttle of a job once when it begins or changes, and once when it ends."""
    known = (before.throttle_ratio, before.throttle_until) if before is not None else (1.0, None)
    if known == (job.throttle_ratio, job.throttle_until):
        return
    if job.throttle_until is None:
        log.info("throttle ended", job=job.name)
    else:
        log.info("throttled", job=job.name, ratio=job.throttle_ratio, until=job.throttle_until)


async def end_in_time(context: Context) -> None:
    """Ends the pauses and the throttle of this process when their time is over. Until cancelled."""
    while True:
        now = context.now()
        for holder in context.pauses.expire(now):
            log.info("resumed", by=holder, reason="the time was over", still_paused_by=context.pauses.holders)
        if context.throttle.until is not None and context.throttle.until <= now:
            context.throttle.end()
            log.info("throttle ended", by="http", reason="the time was over")
        ends = [end for end in (context.pauses.next_end, context.throttle.until) if end is not None]
        await context.bell.wait(max(0.0, min(ends, default=now + NOTHING_ENDS_S) - now))
