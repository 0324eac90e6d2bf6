"""The chunk transaction: one short transaction in which work and progress commit together."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

import asyncpg

from pgbackfill.control.options import PacingOptions
from pgbackfill.errors import JobFailed
from pgbackfill.handlers.errors import HandlerError
from pgbackfill.jobs.job import Claim, Job
from pgbackfill.keyset import session
from pgbackfill.keyset.explain import ChangeReport, by_key, read_change, read_locks
from pgbackfill.keyset.key import KeyText, Lower
from pgbackfill.keyset.reach import Reach, far_timeout_ms
from pgbackfill.keyset.statement import Change, Form
from pgbackfill.keyset.stride import Stride

from .bracket import Bracket
from .outcome import ChunkResult, NotExactlyLocked, OtherPlan, Stage
from .plans import PlanGuard
from .types import Connection


class ChunkTransaction(Bracket):
    """Runs chunks of one claimed range on one connection.

    Nothing of the range is kept in memory between chunks: the cursor comes from the range row, under its lock.
    """

    aside = "quarantine_row"
    """The door through which a row that cannot be changed goes."""

    def __init__(
        self, connection: Connection, job: Job, claim: Claim, change: Change, form: Form, *, lease_s: float
    ) -> None:
        super().__init__(connection, job, claim, change, lease_s=lease_s)
        self.form = form
        self._end_key: KeyText | None = None
        self._stride = Stride(change.key)
        self._reach = Reach()
        self._only_index = change.only_index and form is Form.RANGE
        self._plans = PlanGuard(connection, change, form)

    def outside_s(self, options: PacingOptions) -> float:
        """Longest time that a healthy chunk may take beside its transaction."""
        return 0.0

    async def run(
        self, rows: int, options: PacingOptions, *, sleep_s: float, rows_per_second: float | None
    ) -> ChunkResult:
        """Changes the next `rows` rows and commits.

        Raises LeaseLost when the claim is gone, LeafMoved when the table is, NotExactlyLocked when the chunk must be
        run joined, JobFailed for a plan that does not scale, asyncpg's errors as they are. Whatever it raises, the
        transaction is over.
        """
        started = perf_counter()
        timeout_ms = options.statement_timeout_ms
        if self._reach.factor > 1 or self.guesses:
            timeout_ms = far_timeout_ms(timeout_ms, options.chunk_target_ms)
        try:
            limited = options
            if timeout_ms != options.statement_timeout_ms:
                limited = options.model_copy(update={"statement_timeout_ms": timeout_ms})
            cursor, stop = await self._begin(limited)
            if stop is not None:
                await self._rollback()
                return ChunkResult(0, 0, 0, 0.0, finished=False, stop=stop)
            lower = self._lower(cursor)
            end, scanned, report = await self._work(lower, rows)
            changed, wal = (report.rows_changed, report.wal_bytes + report.lock_wal_bytes) if report else (0, 0)
            finished = self._finishes(end)
            await self._store(
                list(end) if end else None, scanned, changed, wal,
                rows, (perf_counter() - started) * 1000, sleep_s * 1000, rows_per_second, self.lease_s, finished,
            )  # fmt: skip
            seconds = perf_counter() - started
            self._reach.learn(
                scanned=scanned, changed=changed, seconds=seconds, target_s=options.chunk_target_ms / 1000
            )
            return ChunkResult(scanned, changed, wal, seconds, finished)
        except BaseException as error:
            self._reach.failed()
            self._stride.failed()
            await self._rollback()
            if not (self._only_index and isinstance(error, (OtherPlan, JobFailed))):
                raise
        self._only_index = False
        return await self.run(rows, options, sleep_s=sleep_s, rows_per_second=rows_per_second)

    async def _work(self, lower: Lower | None, rows: int) -> tuple[KeyText | None, int, ChangeReport | None]:
        """Changes the next rows; answers their last key (None: nothing was left), rows scanned, and a report."""
        end, scanned = None, 0
        if self.form is Form.RANGE:
            rows *= self._reach.factor
            end = self._stride.guess(lower, self.claim.upper_key, rows)
        guessed = end is not None
        if end is None:
            end, scanned = await self._scan(lower, self._stride.to_scan(rows))
        self._end_key = end
        if end is None:
            return None, 0, None
        report = await self._apply(lower, end, rows)
        if guessed and report is not None:
            scanned = report.rows_scanned
        self._stride.learn(lower, end, scanned, asked=rows if guessed else None)
        return end, scanned, report

    async def set_aside(self, options: PacingOptions, error: asyncpg.PostgresError | HandlerError) -> KeyText | None:
        """Quarantines the row on which the last chunk, one of one row, failed, and moves past it; answers its key.

        None: another row has come before it or it has gone, or somebody stopped the job; nothing was done.
        """
        try:
            cursor, stop = await self._begin(options)
            end = await self._one(cursor) if stop is None else None
            if end is None or end != self._end_key:
                await self._rollback()
                return None
            # Only the primary message: DETAIL quotes row data, which viewers of the quarantine may not see.
            message = (error.args[0] if error.args else str(error))[:1000]
            await self._end(
                f"pgbackfill.{self.aside}($1,$2,$3,$4,$5,$6,$7)",
                list(end), error.sqlstate, message, self.lease_s,
            )  # fmt: skip
            return end
        except BaseException:
            await self._rollback()
            raise

    @property
    def guesses(self) -> bool:
        """Whether the next chunk may end at a guessed key, and so hold more rows than are asked for."""
        return self._stride.daring

    def _finishes(self, end: KeyText | None) -> bool:
        return end is None or end == self.claim.upper_key

    async def _one(self, cursor: KeyText | None) -> KeyText | None:
        """The key of the next row alone."""
        return (await self._scan(self._lower(cursor), 1))[0]

    async def _store(self, *values: Any) -> None:
        """`values` begin with the last key of the chunk, if it scanned any row."""
        await self._end(
            "pgbackfill.end_chunk($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,p.passed)", *values, end=values[0]
        )

    async def _scan(self, lower: Lower | None, rows: int) -> tuple[KeyText | None, int]:
        """The last key of the chunk and how many rows it has; None when nothing is left."""
        self.stage = Stage.FIND
        boundary = self.change.boundary(lower, self.claim.upper_key, rows)
        self.last_sql = boundary.sql
        await self._plans.check_scan(boundary, rows, ends=2 if lower else 1)
        found = await self._fetch(boundary)
        if found is not None:
            return tuple(found), rows
        found = await self._fetch(self.change.tail(lower, self.claim.upper_key))
        return (tuple(found)[:-1], found[-1]) if found is not None else (None, 0)

    async def _apply(self, lower: Lower | None, end: KeyText, rows: int) -> ChangeReport | None:
        self.stage = Stage.CHANGE
        if self.form is Form.RANGE:
            build = partial(self.change.change_range, only_index=self._only_index)
            report = await self._measured(build, lower, end, rows=rows)
            if self._only_index and not by_key(report.plan, self.change.key[0].name):
                raise OtherPlan
            return report
        if self.form is Form.LOCKED_RANGE:
            locked = read_locks(json.loads((await self._required(self.change.lock_and_count(lower, end)))[0]))
            if locked.rows == 0:
                return None
            await self.connection.execute(session.UNSTEER)
            report = await self._measured(self.change.change_range, lower, end, rows=rows)
            # A row born or made to match in between was changed without the earlier lock: it may carry a stale value.
            if report.rows_changed != locked.rows:
                raise NotExactlyLocked
            return replace(report, lock_wal_bytes=locked.wal_bytes)
        await self.connection.execute(session.UNSTEER)
        keys = await self._required(self.change.lock_and_list(lower, end))
        if keys[0] is None:
            return None
        return await self._measured(self.change.change_joined, list(keys), rows=rows)

    async def _measured(self, build: Any, *arguments: Any, rows: int) -> ChangeReport:
        if self._plans.change_due(rows):
            unmeasured = build(*arguments, measured=False)
            self.stage, self.last_sql = Stage.PLAN, unmeasured.sql
            if await self._plans.check_change(unmeasured, rows) and self.form is Form.LOCKED_RANGE:
                raise NotExactlyLocked
        self.stage = Stage.CHANGE
        document = (await self._required(build(*arguments)))[0]
        return read_change(json.loads(document), returning=self.change.operation != "statement")
