"""What a lane does when a chunk fails: the failure policy, one method per row of the table in docs/failures.md."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import asyncpg

from pgbackfill.control.decision import ChunkSample, Outcome
from pgbackfill.control.options import PacingOptions
from pgbackfill.database import catalog, jobs, ranges
from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.link import UNREACHABLE
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.jobs.failures import Failure, classify

if TYPE_CHECKING:
    from .lane import Lane

BACKOFF_FIRST_S = 0.25
BACKOFF_MOST_S = 10.0
"""Doubling between these: soon back after a restart, no stampede on a server that struggles."""

LOCKED_MOST_S = 1.0
"""A lock is let go at any moment, and asking for it costs the server next to nothing."""

DISCONNECTED = "disconnected"
"""First word of the hold during which nothing can be written to the database."""

SLOW_MAX = 3
"""A single row that runs into the statement time-out this often in a row is set aside: more is not bad luck."""


class Trouble:
    """One per lane. Remembers what a single decision cannot know: how often, and until when to wait."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._backoff_s = BACKOFF_FIRST_S
        self._until = float("-inf")
        self._reason: str | None = None
        self._slow = 0
        self._locked = False
        self._holders: list[int] = []
        self.set_aside: asyncpg.PostgresError | None = None
        """The error of a chunk of one row, which the next chunk quarantines."""

    def reason(self, *, now: float) -> str | None:
        """The hold that trouble causes at `now`, or None."""
        return self._reason if now < self._until else None

    def over(self) -> None:
        """A chunk was committed."""
        self._backoff_s = BACKOFF_FIRST_S
        self._slow = 0
        self._locked = False

    @asynccontextmanager
    async def watching(self, connection: Connection, rows: int, options: PacingOptions) -> AsyncIterator[None]:
        """Finds out who holds the lock that a chunk of one row waits for, while it waits: afterwards nobody can say."""
        self._holders = []
        if not self._locked or rows > 1:
            yield
            return
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._find_holders, connection.get_server_pid(), options.lock_timeout_ms / 2000)
            try:
                yield
            except Exception as error:  # raised again below: a task group would wrap it
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _find_holders(self, pid: int, after_s: float) -> None:
        await anyio.sleep(after_s)
        try:
            async with self._lane.context.control.use() as control:
                self._holders = await control.fetchval(load("signals")["lock_holders"], pid)
        except (asyncpg.PostgresError, *UNREACHABLE):
            return  # the hold goes without a name

    async def met(self, error: Exception, rows: int) -> bool:
        """Decides by SQLSTATE; False ends the lane."""
        lane = self._lane
        sqlstate = getattr(error, "sqlstate", None)
        failure = classify(sqlstate)
        if failure is Failure.DISCONNECTED:
            self._sample(Outcome.LOST, rows)
            self.disconnected(error)
            return True
        if failure is Failure.FATAL:
            if await self._table_moved():  # the name is gone, or another table has it and other columns
                return await self.leaf_moved()
            self._sample(Outcome.FAILED, rows)
            return await self.fail(f"{_first_line(error)} (SQLSTATE {sqlstate}) in: {lane.last_sql}")
        lane.context.metrics.retry(sqlstate or "unknown")
        lane.log.debug("chunk rolled back", failure=str(failure), sqlstate=sqlstate, rows=rows, error=str(error))
        self._sample(Outcome.POISON if failure is Failure.POISON else Outcome.RETRY, rows)
        if failure is Failure.HOLD:
            self._wait(f"server_full {_first_line(error)}")
        elif rows == 1:
            self._single_row(failure, error)
        if failure in (Failure.RETRY, Failure.LOCKED):
            await lane.pause_a_moment()
        return True

    def _single_row(self, failure: Failure, error: Exception) -> None:
        if failure is Failure.LOCKED:
            self._locked = True
            by = " and ".join(str(pid) for pid in self._holders)
            self._wait(f"row_locked by {f'pid {by}' if by else 'another session'}", most_s=LOCKED_MOST_S)
        elif failure is Failure.SLOW:
            self._slow += 1
        if isinstance(error, asyncpg.PostgresError) and (failure is Failure.POISON or self._slow >= SLOW_MAX):
            self.set_aside = error

    async def quarantine(self, chunk: ChunkTransaction, options: PacingOptions) -> None:
        """Sets the row aside; more of them than `max_quarantined` fail the job."""
        error, self.set_aside, self._slow = self.set_aside, None, 0
        assert error is not None, "called only where there is a row to set aside"
        key = await chunk.set_aside(options, error)
        if key is None:
            return
        lane = self._lane
        lane.log.warning("row quarantined", key=list(key), sqlstate=error.sqlstate, error=_first_line(error))
        lane.context.metrics.quarantined(lane.job.name)
        async with lane.context.control.use() as control:  # the work login may not read pgbackfill's tables
            count = await jobs.quarantined(control, lane.job.id)
        if count > options.max_quarantined:
            await self.fail(
                f"{count} rows could not be changed, more than max_quarantined ({options.max_quarantined}); the last"
                f" one: {_first_line(error)} (SQLSTATE {error.sqlstate}); see pgbackfill.quarantine"
            )

    def disconnected(self, error: BaseException) -> None:
        """Waits, longer each time; the link opens a new connection by itself. The hold itself is logged by the lane."""
        self._wait(f"{DISCONNECTED} {_first_line(error)}")

    async def fail(self, error: str) -> bool:
        """Fails the job with its reason; the daemon and other jobs go on."""
        lane = self._lane
        lane.failed = error
        lane.log.error("job failed", error=error)
        async with lane.context.control.use() as control:
            await jobs.fail(control, lane.job.id, error)
        lane.context.jobs.pop(lane.job.id, None)
        return False

    async def leaf_moved(self) -> bool:
        """Renamed: look again. Detached or dropped: its rows are no longer the job's business."""
        lane = self._lane
        async with lane.context.control.use() as control:
            belongs = await catalog.belongs(control, lane.claim.relation, lane.job.relation)
            dropped = not await catalog.belongs(control, lane.job.relation, lane.job.relation)
            if not belongs and not dropped:
                await ranges.skip(control, lane.claim)
                await jobs.note(control, lane.job.id, "partition_left", relation=lane.claim.relation)
        if belongs:
            lane.reopen()
            lane.log.info("table renamed, walk reopened")
            return True
        if dropped:
            return await self.fail(f"table {lane.job.table_name} was dropped during the job")
        lane.log.warning("partition left the table, its range is skipped")
        return False

    async def _table_moved(self) -> bool:
        """Whether the walked table no longer has the name under which the walk was opened."""
        lane = self._lane
        if lane.relation is None:
            return False
        async with lane.context.control.use() as control:
            change = await catalog.describe_change(control, lane.job, lane.claim.relation)
        return change is None or change.relation != lane.relation

    def _wait(self, reason: str, *, most_s: float = BACKOFF_MOST_S) -> None:
        self._reason = reason
        self._until = self._lane.context.now() + min(self._backoff_s, most_s)
        self._backoff_s = min(2 * self._backoff_s, most_s)

    def _sample(self, outcome: Outcome, rows: int) -> None:
        lane = self._lane
        sample = ChunkSample(outcome, rows, 0, 0, 0, 0.0)
        lane.controller.finished(sample, now=lane.context.now())
        lane.context.metrics.chunk(lane.job.name, sample, slept_s=0.0)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:500]
