"""Handlers that tests register with a daemon in this process, and what they saw."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pgbackfill.handlers import Call, Row, handler

Compute = Callable[[list[Row], Mapping[str, Any], Call], Awaitable[Any]]


@dataclass
class Seen:
    """What `probe` does, and the rows that it was called with, in order."""

    compute: Compute | None = None
    calls: list[list[Row]] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        return [row["id"] for rows in self.calls for row in rows]

    def times(self, id_: int) -> int:
        return self.ids.count(id_)


seen = Seen()


@asynccontextmanager
async def computing(compute: Compute | None = None) -> AsyncIterator[Seen]:
    """While the block lasts, the handler `probe` does this; without, it counts n up once."""
    seen.compute, seen.calls = compute, []
    yield seen
    seen.compute = None


async def count_up(rows: list[Row], params: Mapping[str, Any], call: Call) -> list[dict[str, Any]]:
    return [{"n": row["n"] + params.get("by", 1)} for row in rows]


@handler
async def probe(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
    seen.calls.append(rows)
    return await (seen.compute or count_up)(rows, params, call)


@handler(name="narrow", reads=["n"])
async def narrow(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
    assert {frozenset(row) for row in rows} == {frozenset(("id", "n"))}
    return await count_up(rows, params, call)
