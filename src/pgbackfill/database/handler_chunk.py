"""The chunk of a handler job: rows are read without locks, computed outside any transaction, and written in the chunk
transaction where they have not changed since."""

from __future__ import annotations

import json
from dataclasses import replace
from time import perf_counter
from typing import Any

import structlog

from pgbackfill.control.options import PacingOptions
from pgbackfill.errors import JobFailed, LeaseLost
from pgbackfill.handlers.call import Call
from pgbackfill.handlers.calls import COMPUTE_TARGET_S, Calls, Values
from pgbackfill.handlers.errors import HandlerError, RowKeepsChanging, WrongAnswer
from pgbackfill.keyset.explain import ChangeReport, read_change
from pgbackfill.keyset.key import KeyText, Lower
from pgbackfill.keyset.rewrite import Rewrite

from . import ranges
from .chunk import ChunkTransaction
from .handler_read import Read, grouped
from .handler_work import Work, keeping, parsed
from .outcome import ChunkResult, Stage
from .retry import RetryChunk

KEPT_MOST = 10_000
"""Rows of which computed values are kept: those of some chunks. Of rows that have gone since, nobody asks again."""

CHANGED_MAX = 4
"""A row that others change before it can be written is computed again so often in one chunk."""


class HandlerChunk(ChunkTransaction):
    """A chunk ends before the first row that cannot be written; what was computed of the rows behind it is kept."""

    work: Work

    def __init__(self, *arguments: Any, work: Work, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.work = work
        self._rewrite = Rewrite(self.change)
        wanted = work.handler.reads
        names = {column.name for column in self.change.key}
        self._columns = [c for c in work.columns if wanted is None or c.name in wanted or c.name in names]
        self._types = {column.name: column.type_name for column in work.columns}
        self._rows: list[Read] = []
        self._kept: dict[KeyText, Read] = {}
        """What was computed and is not written yet."""
        self._written: list[Read] = []
        self._cursor: KeyText | None = None
        self._span: tuple[Lower | None, KeyText | None, int] = (None, None, 0)
        self._per_s: float | None = None
        self._batch_most: int | None = None
        """After a call of several rows has failed: fewer rows a call, until it is known which row it was."""
        self._outside_s = 0.0
        self._finishing = False

    def outside_s(self, options: PacingOptions) -> float:
        """Longest time that a healthy chunk may take beside its transaction: looking, computing, and that again."""
        look_s = 5 * options.statement_timeout_ms / 1000
        return CHANGED_MAX * (look_s + COMPUTE_TARGET_S + options.handler_timeout_s)

    async def run(
        self, rows: int, options: PacingOptions, *, sleep_s: float, rows_per_second: float | None
    ) -> ChunkResult:
        """As the base class; raises HandlerError for the row, or call of several rows, that the range has come to."""
        began = perf_counter()
        for attempt in range(1, CHANGED_MAX + 1):
            stop = await self._look(rows, options)
            if stop is not None:
                return ChunkResult(0, 0, 0, 0.0, finished=False, stop=stop)
            await self._compute(options)
            self._outside_s, self._finishing = perf_counter() - began, True
            try:
                result = await super().run(rows, options, sleep_s=sleep_s, rows_per_second=rows_per_second)
                for read in self._written:
                    self._kept.pop(read.key, None)
                return replace(result, outside_s=self._outside_s)
            except RowKeepsChanging:
                if attempt == CHANGED_MAX:
                    raise
            finally:
                self._finishing = False
        raise AssertionError("unreachable")

    async def _begin(self, options: PacingOptions) -> tuple[KeyText | None, str | None]:
        """What has been computed is a chunk under way: a pause or a cancellation takes effect when it is written."""
        cursor, stop = await super()._begin(options)
        return cursor, None if self._finishing else stop

    async def _look(self, rows: int, options: PacingOptions) -> str | None:
        """Reads the next rows without locking them; answers a desired state other than `run`."""
        try:
            self._cursor, stop = await self._begin(options)
            if stop is None:
                limit = min(rows, self._appetite(options))
                lower, end, scanned = await self._next(self._lower(self._cursor), rows, limit)
                found = await self._read(lower, end, limit) if end is not None else []
                if len(found) == limit and end is not None and found[-1].key != end:
                    end = found[-1].key
                    scanned = await self._count(lower, end)
                self._span, self._rows = (lower, end, scanned), found
            return stop
        finally:
            await self._rollback()

    def _appetite(self, options: PacingOptions) -> int:
        """How many rows are computed in the target time; at first, so many that each lane of calls has a few."""
        at_once = options.handler_concurrency * options.handler_batch_rows
        return max(at_once, 4 * at_once if self._per_s is None else int(self._per_s * COMPUTE_TARGET_S))

    async def _next(self, lower: Lower | None, rows: int, limit: int) -> tuple[Lower | None, KeyText | None, int]:
        """Where the chunk begins and ends, and how many keys that are."""
        end, scanned = await self._scan(lower, rows if self.change.where_clause else limit)
        return lower, end, scanned

    async def _read(self, lower: Lower | None, end: KeyText, limit: int) -> list[Read]:
        self.stage = Stage.CHANGE  # where_clause is judged here: a row can be to blame
        self._end_key = end
        statement = self._rewrite.read(lower, end, [column.name for column in self._columns], limit)
        self.last_sql = statement.sql
        width = len(self.change.key)
        found = []
        for record in await self.connection.fetch(statement.sql, *statement.arguments):
            version, key, values = record[0], tuple(record[1 : 1 + width]), record[1 + width :]
            row = {c.name: parsed(c, value) for c, value in zip(self._columns, values, strict=True)}
            kept = self._kept.get(key)
            found.append(kept if kept is not None and kept.version == version else Read(key, version, row))
        if len(self._kept) > KEPT_MOST:
            self._kept.clear()
        return found

    async def _compute(self, options: PacingOptions) -> None:
        """Fills in results, in key order, and keeps the lease meanwhile. Raises LeaseLost, JobFailed."""
        todo = [read for read in self._rows if read.result is None]
        if not todo:
            return
        self.stage, began = Stage.CHANGE, perf_counter()
        calls = Calls(
            self.work.handler,
            self.job.params,
            Call(
                self.job.name,
                structlog.get_logger().bind(job=self.job.name, handler=self.work.handler.name),
                options.handler_concurrency,
                options.handler_timeout_s,
                options.max_rows_per_s,
                self.work.stopping,
                self.work.resource,
            ),
            min(options.handler_batch_rows, self._batch_most or options.handler_batch_rows),
            {column.name: column.fixed for column in self.work.columns},
            self.work.stopping,
        )
        try:
            results = await keeping(
                lambda: calls.compute([read.row for read in todo]), self._renew, every_s=self.lease_s / 3
            )
        except WrongAnswer as error:
            raise JobFailed(str(error)) from None
        for read, result in zip(todo, results, strict=True):
            read.result = result
            if isinstance(result, Values):
                read.row = {}
                self._kept[read.key] = read
        done = sum(isinstance(result, Values) for result in results)
        if done >= options.handler_concurrency * options.handler_batch_rows:
            self._per_s = done / max(perf_counter() - began, 1e-3)

    async def _renew(self) -> None:
        if not await ranges.renew(self.connection, self.claim, lease_s=self.lease_s):
            raise LeaseLost("another worker took the range over while its rows were computed")

    async def _work(self, lower: Lower | None, rows: int) -> tuple[KeyText | None, int, ChangeReport | None]:
        """Writes the rows up to the first that cannot be written."""
        if lower != self._lower(self._cursor):
            raise LeaseLost(f"range {self.claim.range_id} of job {self.job.name} was worked on by somebody else")
        blocked = next((read for read in self._rows if not isinstance(read.result, Values)), None)
        ready = self._rows[: self._rows.index(blocked)] if blocked is not None else self._rows
        changed = await self._first_changed(ready)
        if changed is not None:
            ready, blocked = ready[: ready.index(changed)], changed
        end, scanned = (self._span[1], self._span[2]) if blocked is None else await self._before(blocked)
        self._end_key = end
        self.stage, self._written = Stage.CHANGE, ready
        return end, scanned, await self._write(ready)

    async def _first_changed(self, reads: list[Read]) -> Read | None:
        """Locks the rows that get new values; the first that is not what it was. One that has gone needs nothing."""
        keys = [read.key for read in reads if isinstance(read.result, Values) and read.result.columns]
        if not keys:
            return None
        self.stage = Stage.CHANGE
        statement = self._rewrite.lock(keys)
        self.last_sql = statement.sql
        found = await self.connection.fetch(statement.sql, *statement.arguments)
        versions = {tuple(record[1:]): record[0] for record in found}
        return next((read for read in reads if versions.get(read.key, read.version) != read.version), None)

    async def _before(self, blocked: Read) -> tuple[KeyText, int]:
        """The last key before a row that cannot be written; where there is none, what is wrong with that row."""
        lower = self._span[0]
        count = await self._count(lower, blocked.key)
        if count > 1:
            boundary = self.change.boundary(lower, blocked.key, count - 1)
            return tuple(await self._required(boundary)), count - 1
        self._end_key, self.stage = blocked.key, Stage.CHANGE
        if isinstance(blocked.result, HandlerError):
            rows = blocked.result.rows
            self._batch_most = max(1, rows // 2) if rows > 1 else None
            raise blocked.result
        raise RowKeepsChanging(
            f"the row was changed by others each of {CHANGED_MAX} times"
            f" while handler {self.work.handler.name} computed it"
        )

    async def _count(self, lower: Lower | None, end: KeyText) -> int:
        """Keys from the lower bound to `end`, which may have gone."""
        self.stage = Stage.FIND
        found = await self._fetch(self.change.tail(lower, end))
        return int(found[-1]) if found is not None else 0

    async def _write(self, reads: list[Read]) -> ChangeReport | None:
        """One statement for each set of columns that the handler returned; most often there is one."""
        reports = []
        for names, rows in grouped(reads):
            types = [(name, self._types[name]) for name in names]
            document = (await self._required(self._rewrite.write(types, json.dumps(rows))))[0]
            reports.append(read_change(json.loads(document), returning=True))
        self._batch_most = None
        if not reports:
            return None
        changed, wal = sum(r.rows_changed for r in reports), sum(r.wal_bytes for r in reports)
        return replace(reports[0], rows_changed=changed, wal_bytes=wal)

    async def _store(self, *values: Any) -> None:
        """The time of a chunk, as people see it and as the time left is estimated by, has the computing in it."""
        chunk_ms = values[5] + self._outside_s * 1000
        await super()._store(*values[:5], chunk_ms, *values[6:])


class RetryHandlerChunk(HandlerChunk, RetryChunk):
    """One quarantined row a chunk."""

    async def _next(self, lower: Lower | None, rows: int, limit: int) -> tuple[Lower | None, KeyText | None, int]:
        key = await self._one(None)
        return (Lower(key, inclusive=True), key, 1) if key is not None else (None, None, 0)
