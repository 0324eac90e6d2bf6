"""Holds as people see them: in the progress view range by range, in log and metrics once a job."""

from __future__ import annotations

from typing import Any

import anyio

from pgbackfill.database import ranges
from pgbackfill.database.failures import UNWRITABLE
from pgbackfill.database.link import Link, passing
from pgbackfill.database.types import Connection
from pgbackfill.errors import LeaseLost
from pgbackfill.jobs.job import Claim
from pgbackfill.metrics import Metrics

from .context import Context

REFRESH_S = 1.0
"""While a hold lasts, its numbers are written this often: what people look at is no older than the roster's look."""


def kind_of(reason: str | None) -> str:
    """A hold is the same as long as the first word of its reason is."""
    return (reason or "").split(" ")[0]


class JobHolds:
    """One per job and daemon: what its lanes have in common is logged and counted once. `now` is monotonic seconds."""

    def __init__(self, job: str, metrics: Metrics) -> None:
        self._job = job
        self._metrics = metrics
        self._reasons: dict[int, str] = {}
        self._since: dict[str, float] = {}

    def change(self, lane: int, reason: str | None, log: Any, *, now: float) -> None:
        """The hold of the lane that works on the range `lane` is another one now, or (None) has ended."""
        before = self._reasons.pop(lane, None)
        others = self._kinds()
        if reason is not None:
            self._reasons[lane] = reason
            if kind_of(reason) not in others:
                self._since[kind_of(reason)] = now
                log.info("held", reason=reason)
        elif before is not None and kind_of(before) not in others:
            log.info("hold ended", reason=before, held_s=round(now - self._since[kind_of(before)], 1))
        self._metrics.hold(self._job, *self._reasons.values())

    def reword(self, lane: int, reason: str | None) -> None:
        """The same hold in other words, such as a lag that has grown; or still none."""
        if reason is not None:
            self._reasons[lane] = reason

    def waited(self, lane: int, seconds: float) -> None:
        """Counts held time; of several lanes held for the same reason, that of the first alone."""
        reason = self._reasons.get(lane)
        if reason is not None:
            first = next(each for each, other in self._reasons.items() if kind_of(other) == kind_of(reason))
            if first == lane:
                self._metrics.held_seconds(reason, seconds)

    def _kinds(self) -> set[str]:
        return {kind_of(reason) for reason in self._reasons.values()}


class LaneHold:
    """One per claimed range: shows why nothing runs, and keeps the lease meanwhile."""

    def __init__(self, context: Context, claim: Claim, link: Link, holds: JobHolds, log: Any) -> None:
        self._context = context
        self._claim = claim
        self._link = link
        self._holds = holds
        self._log = log
        self._reason: str | None = None
        self._touched = context.now()

    async def show(self, reason: str | None) -> None:
        """Logs a hold once on entry and once on recovery, and keeps the progress view and the lease up to date."""
        same = kind_of(reason) == kind_of(self._reason)
        if not same or (reason is not None and self._context.now() - self._touched >= REFRESH_S):
            if kind_of(reason) in UNWRITABLE:
                await self._store_if_possible(reason)
            else:  # before a word is said: while this fails, the database is still out of reach
                async with self._link.use() as connection:
                    self._keep(await self._store(connection, reason))
        if same:
            self._holds.reword(self._claim.range_id, reason)
        else:
            self._holds.change(self._claim.range_id, reason, self._log, now=self._context.now())
        self._reason = reason

    async def _store(self, connection: Connection, reason: str | None) -> bool:
        return await ranges.show_hold(connection, self._claim, reason, lease_s=self._context.settings.lease_s)

    async def _store_if_possible(self, reason: str | None) -> None:
        """By the control connection: perhaps it is only the work login, or the table's own disk, that is in trouble."""
        self.touched()
        try:
            with anyio.move_on_after(1):
                async with self._context.control.use() as control:
                    self._keep(await self._store(control, reason))
        except Exception as error:
            if not passing(error):
                raise

    async def renew(self) -> None:
        """Keeps the lease of a lane that sleeps; raises LeaseLost."""
        lease_s = self._context.settings.lease_s
        if self._context.now() - self._touched > lease_s / 3:
            async with self._link.use() as connection:
                self._keep(await ranges.renew(connection, self._claim, lease_s=lease_s))

    def touched(self) -> None:
        """A chunk has just renewed the lease."""
        self._touched = self._context.now()

    async def wait(self, seconds: float) -> None:
        """Until somebody rings; the time counts as held if it is."""
        before = self._context.now()
        await self._context.bell.wait(seconds)
        self._holds.waited(self._claim.range_id, self._context.now() - before)

    def leave(self) -> None:
        """The lane ends, and its hold with it."""
        self._holds.change(self._claim.range_id, None, self._log, now=self._context.now())

    def _keep(self, kept: bool) -> None:
        if not kept:
            raise LeaseLost("another worker took the range over while this one was held")
        self.touched()
