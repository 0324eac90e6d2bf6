"""Reads one page: on one connection, in a transaction that writes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from pgbackfill.control.options import PacingOptions
from pgbackfill.database.outcome import LeafMoved
from pgbackfill.database.steps import Walked
from pgbackfill.database.types import Connection
from pgbackfill.jobs.failures import Failure, classify
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.key import KeyText, Lower
from pgbackfill.keyset.statement import Change

from . import page as sql
from .tally import Page


class Looks:
    """At the rows of one job. `aside` are its quarantined keys, of which everybody knows that they are as they were."""

    def __init__(self, job: Job, options: PacingOptions, claim_xid: int, aside: Sequence[KeyText]) -> None:
        self._job = job
        self._options = options
        self._claim_xid = claim_xid
        self._aside = aside

    async def page(
        self,
        connection: Connection,
        change: Change,
        condition: str,
        relation: int,
        lower: Lower | None,
        upper: KeyText,
        rows: int,
    ) -> Page:
        """The next `rows` rows at most. Raises LeafMoved where another table has the name of `relation` now."""
        async with self._reading(connection):
            boundary = change.boundary(lower, upper, rows)
            found = await connection.fetchrow(boundary.sql, *boundary.arguments)
            if found is not None:
                end, seen = tuple(found), rows
            else:
                tail = change.tail(lower, upper)
                last = await connection.fetchrow(tail.sql, *tail.arguments)
                if last is None:
                    return Page(None, 0, 0, [])
                end, seen = tuple(last)[:-1], last[-1]
            later, keys = await self._wrong(connection, change, condition, lower, end)
            # The statements before hold a lock on whatever has the name, so this is final.
            if await connection.fetchval(f"SELECT {change.relation_oid}") != relation:
                raise LeafMoved(change.relation)
        return Page(end, seen, later, keys)

    async def _wrong(
        self, connection: Connection, change: Change, condition: str, lower: Lower | None, end: KeyText
    ) -> tuple[int, list[KeyText]]:
        found = sql.wrong_rows(change, condition, lower, end, claim_xid=self._claim_xid, aside=self._aside)
        await connection.execute("SAVEPOINT pgbackfill")
        try:
            return _read(await connection.fetchrow(found.sql, *found.arguments))
        except asyncpg.PostgresError as error:
            if classify(error.sqlstate) is not Failure.POISON:
                raise
        await connection.execute("ROLLBACK TO SAVEPOINT pgbackfill")
        return await self._one_by_one(connection, change, condition, lower, end)

    async def _one_by_one(
        self, connection: Connection, change: Change, condition: str, lower: Lower | None, end: KeyText
    ) -> tuple[int, list[KeyText]]:
        """Halves the page around a row for which the condition raises an error: nobody knows that it is right."""
        half = change.boundary(lower, end, max(1, await self._count(connection, change, lower, end) // 2))
        middle = await connection.fetchrow(half.sql, *half.arguments)
        if middle is None or tuple(middle) == end:
            condition = sql.UNDECIDABLE
            alone = sql.wrong_rows(change, condition, lower, end, claim_xid=self._claim_xid, aside=self._aside)
            return _read(await connection.fetchrow(alone.sql, *alone.arguments))
        first = await self._wrong(connection, change, condition, lower, tuple(middle))
        second = await self._wrong(connection, change, condition, Lower(tuple(middle), inclusive=False), end)
        return first[0] + second[0], first[1] + second[1]

    async def _count(self, connection: Connection, change: Change, lower: Lower | None, end: KeyText) -> int:
        tail = change.tail(lower, end)
        found = await connection.fetchrow(tail.sql, *tail.arguments)
        return int(found[-1]) if found is not None else 0

    async def sample(
        self, connection: Connection, change: Change, condition: str, walked: Walked, percent: float
    ) -> Page:
        """The rows in `percent` of the blocks of the table."""
        lower = Lower(walked.lower_key, walked.lower_inclusive) if walked.lower_key else None
        found = sql.sampled_rows(
            change, condition, lower, walked.upper_key, claim_xid=self._claim_xid, percent=percent, aside=self._aside
        )
        async with self._reading(connection):
            row = await connection.fetchrow(found.sql, *found.arguments)
        assert row is not None, "an aggregate answers a row"
        later, keys = _read(tuple(row)[1:])
        return Page(walked.upper_key, row[0], later, keys)

    @asynccontextmanager
    async def _reading(self, connection: Connection) -> AsyncIterator[None]:
        try:
            await connection.execute(sql.begin(self._options, self._job))
            yield
        finally:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")


def _read(row: asyncpg.Record | Sequence[Any] | None) -> tuple[int, list[KeyText]]:
    """How many wrong rows are of later, and the keys of the others."""
    assert row is not None, "an aggregate answers a row"
    later, *columns = row
    return int(later), list(zip(*columns, strict=True)) if columns[0] is not None else []


def keys_as_json(keys: Sequence[KeyText]) -> str:
    return json.dumps([list(key) for key in keys])
