"""What a lane does when a chunk fails: the failure policy, one branch per row of the table in docs/failures.md."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from pgbackfill.control.decision import ChunkSample, Outcome
from pgbackfill.control.options import PacingOptions
from pgbackfill.database import catalog, jobs, ranges
from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.failures import first_line, hold_reason
from pgbackfill.database.outcome import Stage
from pgbackfill.handlers.errors import HandlerError
from pgbackfill.jobs.failures import Failure, classify

from .holders import looking

if TYPE_CHECKING:
    from .lane import Lane

BACKOFF_FIRST_S = 0.25
BACKOFF_MOST_S = 10.0
"""Doubling between these: soon back after a restart, no stampede on a server that struggles."""

LOCKED_MOST_S = 1.0
"""A lock is let go at any moment, and asking for it costs the server next to nothing."""

SLOW_MAX = 3
"""A single row that runs into the statement time-out this often in a row is set aside: more is not bad luck."""

ROWS_AT_WORK = frozenset({Stage.CHANGE, Stage.COMMIT})
"""Only here can a row be to blame; the same SQLSTATE from a session setting or a plan means that the job is wrong."""


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
        self._breaker, self._streak = lane.slot.breaker, lane.slot.streak
        self.set_aside: asyncpg.PostgresError | HandlerError | None = None
        """The error of a chunk of one row, which the next chunk quarantines."""

    def reason(self, *, now: float) -> str | None:
        """The hold that trouble causes at `now`, or None."""
        return self._reason if now < self._until else None

    @property
    def pending(self) -> bool:
        """Whether the last hold still counts: waiting for it is over, but no chunk has shown that its cause is."""
        return self._reason is not None

    def over(self, *, changed: int) -> None:
        """A chunk was committed that changed so many rows."""
        self._backoff_s = BACKOFF_FIRST_S
        self._reason = None
        self._slow = 0
        self._locked = False
        self._breaker.committed(self._streak, changed)

    def retry_now(self) -> None:
        """Somebody else found the database in order again: no need to sit out the rest of a long wait."""
        self._until = float("-inf")
        self._backoff_s = BACKOFF_FIRST_S

    @asynccontextmanager
    async def watching(self, chunk: ChunkTransaction, rows: int, options: PacingOptions) -> AsyncIterator[None]:
        """Finds out who holds the lock that a chunk of one row waits for, while it waits: afterwards nobody can say."""
        self._holders = []
        if not self._locked or rows > 1:
            yield
            return
        async with looking(self._lane.context.control, chunk, options.lock_timeout_ms / 2000, self._holders):
            yield

    async def met(self, error: Exception, rows: int) -> bool:
        """Decides by SQLSTATE; False ends the lane."""
        lane = self._lane
        sqlstate = getattr(error, "sqlstate", None)
        failure = classify(sqlstate)
        stage = lane.chunk.stage if lane.chunk is not None else Stage.BEGIN
        if failure is Failure.POISON and stage not in ROWS_AT_WORK:
            failure = Failure.FATAL
        if failure is Failure.DISCONNECTED:
            self._sample(Outcome.LOST, rows)
            self.hold(error)
            return True
        if failure is Failure.FATAL:
            if await self._table_moved():  # the name is gone, or another table has it and other columns
                return await self.leaf_moved()
            self._sample(Outcome.FAILED, rows)
            where = (
                f"in: {lane.last_sql}" if stage is not Stage.BEGIN else "as a chunk began, before any SQL of the job"
            )
            return await self.fail(f"{first_line(error)} (SQLSTATE {sqlstate}) {where}")
        lane.context.metrics.retry(sqlstate or "unknown")
        lane.log.debug("chunk rolled back", failure=str(failure), sqlstate=sqlstate, rows=rows, error=first_line(error))
        if failure is Failure.SLOW and lane.chunk is not None and lane.chunk.yields_to is not None:
            return await self._yield(lane.chunk.yields_to, rows)
        if failure is Failure.HOLD:
            self._sample(Outcome.LOST, rows)
            self.hold(error)
            return True
        if stage in (Stage.BEGIN, Stage.FIND):
            # Fewer rows would not help: the range row is locked, or the key itself cannot be read in time.
            self._sample(Outcome.LOST, rows)
            self.hold(error, most_s=LOCKED_MOST_S)
            return True
        self._reason = None
        self._sample(Outcome.POISON if failure is Failure.POISON else Outcome.RETRY, rows)
        if rows == 1:
            self._single_row(failure, error)
        if (tripped := self._breaker.failed(self._streak, error, held=self.pending)) is not None:
            return await self.pause("circuit_breaker", tripped)
        if failure in (Failure.RETRY, Failure.LOCKED):
            await lane.pause_a_moment()
        return True

    async def called(self, error: HandlerError) -> bool:
        """A call of a handler failed. What it was called for is known, and says nothing about the size of chunks."""
        lane, failure = self._lane, classify(error.sqlstate)
        lane.context.metrics.retry(error.sqlstate)
        lane.log.debug(
            "handler failed", failure=str(failure), sqlstate=error.sqlstate, rows=error.rows, error=str(error)
        )
        if failure is Failure.HOLD:
            self.hold(error)
            return True
        self._reason = None
        if error.rows == 1:
            self._single_row(failure, error)
        if (tripped := self._breaker.failed(self._streak, error, held=False)) is not None:
            return await self.pause("circuit_breaker", tripped)
        return True

    async def _yield(self, to: str, rows: int) -> bool:
        """Cancelled for somebody who waited: no fault of the rows, but fewer of them lock for a shorter time."""
        self._sample(Outcome.RETRY, rows)
        if rows == 1:
            self._wait(f"lock_waiters {to}", most_s=LOCKED_MOST_S)
        else:
            await self._lane.pause_a_moment()
        return True

    def _single_row(self, failure: Failure, error: Exception) -> None:
        if failure is Failure.LOCKED:
            self._locked = True
            by = " and ".join(str(pid) for pid in self._holders)
            self._wait(f"row_locked by {f'pid {by}' if by else 'another session'}", most_s=LOCKED_MOST_S)
        elif failure is Failure.SLOW:
            self._slow += 1
        if isinstance(error, asyncpg.PostgresError | HandlerError) and (
            failure is Failure.POISON or self._slow >= SLOW_MAX
        ):
            self.set_aside = error

    async def quarantine(self, chunk: ChunkTransaction, options: PacingOptions) -> bool:
        """Sets the row aside; more of them than `max_quarantined` fail the job, many in a row pause it."""
        error, self.set_aside, self._slow = self.set_aside, None, 0
        assert error is not None, "called only where there is a row to set aside"
        key = await chunk.set_aside(options, error)
        if key is None:
            return True
        lane = self._lane
        lane.log.warning("row quarantined", key=list(key), sqlstate=error.sqlstate, error=first_line(error))
        lane.context.metrics.quarantined(lane.job.name)
        async with lane.context.control.use() as control:  # the work login may not read pgbackfill's tables
            count = await jobs.quarantined(control, lane.job.id)
        if count > options.max_quarantined:
            return await self.fail(
                f"{count} rows could not be changed, more than max_quarantined ({options.max_quarantined}); the last"
                f" one: {first_line(error)} (SQLSTATE {error.sqlstate}); see pgbackfill.quarantine"
            )
        if (tripped := self._breaker.quarantined(self._streak, error, options)) is not None:
            return await self.pause("circuit_breaker", tripped)
        return True

    def hold(self, error: BaseException, *, most_s: float = BACKOFF_MOST_S) -> None:
        """Waits, longer each time; a broken link opens a new connection by itself. The lane logs the hold."""
        self._wait(hold_reason(error), most_s=most_s)

    async def fail(self, error: str) -> bool:
        """Fails the job with its reason; the daemon and other jobs go on."""
        lane = self._lane
        async with lane.context.control.use() as control:
            first = await jobs.fail(control, lane.job.id, error)
        lane.failed = error
        if first:  # another lane may have met the same
            lane.log.error("job failed", error=error)
        lane.context.jobs.pop(lane.job.id, None)
        return False

    async def pause(self, event: str, reason: str) -> bool:
        """Pauses the job, so that a person looks before more rows fail; `resume` lets it go on."""
        lane = self._lane
        async with lane.context.control.use() as control:
            paused = await jobs.pause_itself(control, lane.job.id, event, reason)
        if paused:  # else somebody is just telling the job something
            lane.log.error("job paused by itself", reason=reason)
        lane.context.jobs.pop(lane.job.id, None)
        return True

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
