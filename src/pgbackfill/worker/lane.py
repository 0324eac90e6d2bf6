"""One lane: works on one claimed range until it is done, stopped or lost."""

from __future__ import annotations

import random

import anyio
import asyncpg
import structlog

from pgbackfill.control.decision import ChunkSample, Outcome, RunChunk, Wait
from pgbackfill.database import ranges
from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.link import UNREACHABLE, passing
from pgbackfill.database.outcome import ChunkResult, CommitRefused, LeafMoved, NotExactlyLocked
from pgbackfill.database.types import Connection
from pgbackfill.errors import JobFailed, LeaseLost
from pgbackfill.handlers.errors import HandlerError
from pgbackfill.jobs.job import Claim, Job
from pgbackfill.keyset.statement import Form

from .context import Context
from .holds import LaneHold
from .slots import Slot
from .trouble import Trouble
from .walk import open_chunk, open_walk

RETRY_JITTER_S = 0.1
"""Up to this long after a lock or deadlock: about what the other side needs to get through (lock_timeout_ms)."""

HELD_POLL_S = 0.5
"""How soon a lane that is paused or in trouble looks up when nobody rings."""

INEXACT_MAX = 3
"""A table on which locked and changed rows differ this often in one claim (a trigger drops updates) stays joined."""


class Lane:
    """Asks its controller, runs a chunk, tells the controller. Stops between chunks, never inside one."""

    def __init__(self, context: Context, job: Job, claim: Claim, slot: Slot) -> None:
        self.context = context
        self.job = job
        self.claim = claim
        self.slot = slot
        self.options = job.pacing(context.settings.pacing)
        self.controller = slot.controller
        self.link = slot.link
        self.log = structlog.get_logger().bind(job=job.name, range=claim.ordinal)
        self.failed: str | None = None
        self.trouble = Trouble(self)
        self._hold = LaneHold(context, claim, slot.link, slot.holds, self.log)
        self._chunk: ChunkTransaction | None = None
        self._generation = -1
        self._scope: anyio.CancelScope | None = None
        self._dismissed = False
        self._inexact = 0
        self._began = context.now()
        self._scanned = self._changed = 0
        self._too_slow: str | None = None

    def update(self, job: Job) -> None:
        """Takes in what somebody changed in the job's row; acts from the next chunk on."""
        if job.options != self.job.options:
            self.log.info("options changed", options=dict(job.options))
        self.job = job
        self.options = job.pacing(self.context.settings.pacing)
        self.controller.update(self.options)

    def dismiss(self) -> None:
        """Give the range back at the next chunk boundary: the job is to have fewer lanes."""
        self._dismissed = True

    def cancel_chunk(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        """Works until the range is done or may no longer be worked on; then gives it back."""
        self.log.info("range claimed", epoch=self.claim.epoch)
        held = True
        try:
            while held and not self._should_stop():
                held = await self._step()
        except LeaseLost as error:
            held = False
            self.log.warning("lease lost", reason=str(error))
        finally:
            self._hold.leave()
            if held or self.failed is not None:  # a retry must not wait for the lease to run out
                with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                    await self._give_back()

    def _should_stop(self) -> bool:
        job = self.context.jobs.get(self.job.id)
        return self.context.stopping or self._dismissed or job is None or job.desired_state != "run"

    def _interrupted(self) -> bool:
        """Whether what happens outside a transaction should soon come to its end."""
        return self._should_stop() or bool(self.context.pauses.holders)

    async def _step(self) -> bool:
        """One decision and what follows from it; False when the range is finished or no longer ours."""
        context = self.context
        reason = context.pauses.reason or self.trouble.reason(now=context.now())
        self.controller.throttle(min(self.job.throttle_ratio, context.throttle.ratio))
        decision = self.controller.next(now=context.now()) if reason is None else Wait(HELD_POLL_S, reason)
        try:
            if isinstance(decision, RunChunk):
                if not self.trouble.pending:  # else only a chunk that works shows that it is over
                    await self._hold.show(None)
                return await self._run_chunk(1 if self.claim.retry else decision.rows)
            if decision.reason is not None:
                await self._hold.show(decision.reason)
            else:
                await self._hold.renew()
        except Exception as error:
            if not passing(error):
                raise
            self.trouble.hold(error)
        await self._hold.wait(decision.seconds if isinstance(decision, Wait) else HELD_POLL_S)
        return True

    async def _run_chunk(self, rows: int) -> bool:
        """Runs one chunk, shielded from cancellation and with a deadline; False when the range is finished."""
        options = self.options
        sleep_s = self.controller.sleep_seconds
        # Five statements at most, each with its own time-out on the server; beyond that the server is not answering.
        deadline_s = 5 * options.statement_timeout_ms / 1000 + 10
        result: ChunkResult | None = None
        with anyio.CancelScope(shield=True, deadline=self.context.now() + deadline_s) as scope:
            self._scope = scope
            try:
                async with self.link.use() as connection:
                    chunk = await self._prepared(connection)
                    scope.deadline += chunk.outside_s(options)
                    if self.trouble.set_aside is not None:
                        return await self.trouble.quarantine(chunk, options)
                    async with self.trouble.watching(chunk, rows, options):
                        result = await chunk.run(rows, options, sleep_s=sleep_s, rows_per_second=self.slot.rate.value)
            except NotExactlyLocked:
                self._join()
                return True
            except LeafMoved:
                return await self.trouble.leaf_moved()
            except HandlerError as error:
                return await self.trouble.called(error)
            except JobFailed as error:
                return await self.trouble.fail(str(error))
            except (asyncpg.PostgresError, CommitRefused, *UNREACHABLE) as error:
                return await self.trouble.met(error, rows)
            finally:
                self._scope = None
        if result is None and scope.deadline > self.context.now():
            self.log.warning("chunk cancelled", reason="a second stop signal")
            return True
        if result is None:
            self.trouble.hold(TimeoutError(f"no answer within {deadline_s:g} s"))
            return True
        more = self._committed(result, rows, sleep_s)
        if more and self._too_slow is not None:
            return await self.trouble.pause("throughput_floor", self._too_slow)
        return more

    async def _prepared(self, connection: Connection) -> ChunkTransaction:
        """The chunk transaction on this connection; a new connection means looking at the table again."""
        if self._chunk is None or self._generation != self.link.generation:
            walk = self.slot.surveyed(self.claim) or await open_walk(connection, self.job, self.claim)
            form = Form.JOINED if self._inexact >= INEXACT_MAX else walk.form
            self._chunk = await open_chunk(
                connection, self.job, self.claim, walk.change, form,
                handlers=self.context.handlers, stopping=self._interrupted, lease_s=self.context.settings.lease_s,
            )  # fmt: skip
            self._generation = self.link.generation
            self.log.debug("walk opened", relation=walk.change.relation, form=str(form))
        return self._chunk

    @property
    def relation(self) -> str | None:
        """The quoted name of the table that the last walk was opened on."""
        return self._chunk.change.relation if self._chunk is not None else None

    @property
    def chunk(self) -> ChunkTransaction | None:
        """The chunk transaction of the last walk that was opened."""
        return self._chunk

    @property
    def last_sql(self) -> str:
        return self._chunk.last_sql if self._chunk is not None else "(no statement)"

    def reopen(self) -> None:
        """Look at the table again before the next chunk."""
        self._chunk = None

    def _join(self) -> None:
        """The next chunk (and all of them, once it happened often) changes exactly the rows that it locked."""
        self._inexact += 1
        if self._chunk is not None:
            self._chunk.form = Form.JOINED

    def _committed(self, result: ChunkResult, rows: int, sleep_s: float) -> bool:
        now = self.context.now()
        if result.stop is not None:  # somebody paused or cancelled the job; the roster will notice in a moment
            self.context.jobs.pop(self.job.id, None)
            return True
        self._hold.touched()
        self._scanned += result.rows_scanned
        self._changed += result.rows_changed
        self.trouble.over(changed=result.rows_changed)
        rate = self.slot.rate.add(result.rows_scanned, now=now)
        sample = ChunkSample(
            Outcome.COMMITTED,
            rows,
            result.rows_scanned,
            result.rows_changed,
            result.wal_bytes,
            result.seconds,
            at_end=result.finished,
            outside_s=result.outside_s,
        )
        self.controller.finished(sample, now=now)
        lanes = sum(lane.job.id == self.job.id for lane in self.context.lanes.values())
        self._too_slow = self.slot.floor.finished(sample, self.options, lanes=lanes)
        self.context.metrics.chunk(self.job.name, sample, slept_s=sleep_s)
        self.log.debug(
            "chunk",
            rows=rows,
            scanned=result.rows_scanned,
            changed=result.rows_changed,
            wal_bytes=result.wal_bytes,
            ms=round(result.seconds * 1000, 1),
            sleep_ms=round(sleep_s * 1000, 1),
            rows_per_second=round(rate or 0),
        )
        if self._chunk is not None and self._chunk.form is Form.JOINED and 0 < self._inexact < INEXACT_MAX:
            self.reopen()
        if result.finished:
            self.log.info(
                "range done", scanned=self._scanned, changed=self._changed, seconds=round(now - self._began, 1)
            )
        return not result.finished

    async def pause_a_moment(self) -> None:
        """Jitter, so that two parties that met do not meet again in step."""
        await anyio.sleep(random.uniform(0, RETRY_JITTER_S))

    async def _give_back(self) -> None:
        try:
            async with self.link.use() as connection:
                await ranges.release(connection, self.claim)
        except (asyncpg.PostgresError, *UNREACHABLE):
            self.log.warning("lease could not be released", hint="it runs out by itself")
