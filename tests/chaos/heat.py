"""One table, one job that counts every row up once, and the check of every row afterwards."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

import anyio
import asyncpg

from .fleet import LEASE_S, Broken
from .foreground import foreground
from .questions import QUESTIONS

PATIENCE_S = 120.0
"""What has not happened by then never will."""

TAKEOVER_S = LEASE_S + 5.0
"""How soon after a loss somebody has to be at work again."""

POLL_S = 0.02
GONE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a heat's job goes about its work: the form of its chunks, ranges, other people's traffic."""

    form: str = "range"
    lanes: int = 1
    foreground: bool = False
    rows: int = 6_000
    rows_per_s: int = 400

    def job(self, options: dict[str, object]) -> dict[str, str]:
        """The columns of the job's row. Each form is what the SQL leads to (docs/decisions/0001)."""
        sql = {
            "range": {"set_clause": "n = n + 1"},
            "locked": {"set_clause": "n = n + (SELECT one FROM one)"},
            "joined": {"set_clause": "n = t.n + one.one", "from_clause": "one"},
        }[self.form]
        pace = {"chunk_max_rows": 30, "max_rows_per_s": self.rows_per_s, "parallelism": self.lanes}
        return sql | {"options": json.dumps(pace | options)}


ALONE = (
    Shape("range"),
    Shape("locked", foreground=True),
    Shape("joined"),
    Shape("range", foreground=True),
    Shape("joined", foreground=True),
)
"""One range: whoever has it is at work, and a takeover can be timed."""

SEVERAL = (
    Shape("range", lanes=2, rows=12_000, rows_per_s=800, foreground=True),
    Shape("joined", lanes=2, rows=12_000, rows_per_s=800),
    Shape("locked", lanes=2, rows=12_000, rows_per_s=800, foreground=True),
)
"""Eight ranges and several lanes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one range stands."""

    id: int
    epoch: int
    chunk_no: int
    worker_id: int | None
    status: str


class Heat:
    """`dsn` answers where the database is now: after a failover elsewhere."""

    _numbers = count()

    def __init__(self, dsn: Callable[[], str], shape: Shape) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self.shape = shape
        self.number = next(self._numbers)
        self.job = f"heat-{self.number}"
        self.lost = self.repeated = 0

    @asynccontextmanager
    async def running(self, **options: object) -> AsyncIterator[Heat]:
        """Makes table and job; afterwards the job is hurried to its end and every row is checked."""
        await self._make(options)
        async with contextlib.AsyncExitStack() as stack:
            if self.shape.foreground:
                await stack.enter_async_context(foreground(self._dsn, self.shape.rows, self.number))
            yield self
            await self.ask("UPDATE pgbackfill.jobs SET options = options - 'max_rows_per_s' WHERE name = $1", self.job)
            await self._succeeds()
        self.lost = int(await self.value(QUESTIONS["lost"], self.shape.rows))
        self.repeated = int(await self.value(QUESTIONS["repeated"]))
        await self.agrees()
        if self._connection is not None:
            await self._connection.close()

    async def _make(self, options: dict[str, object]) -> None:
        await self.ask(QUESTIONS["table"])
        await self.ask(QUESTIONS["rows"], self.shape.rows)
        await self.ask("ANALYZE course")
        row = {"name": self.job, "table_name": "course"} | self.shape.job(options)
        places = ", ".join(f"${i}" for i in range(1, len(row) + 1))
        await self.ask(f"INSERT INTO pgbackfill.jobs ({', '.join(row)}) VALUES ({places})", *row.values())

    async def _succeeds(self) -> None:
        await self.until(self.over, "the job's end")
        status, error, reason = await self._row(
            "SELECT j.status, j.error, p.hold_reason FROM pgbackfill.jobs j JOIN pgbackfill.progress p USING (name)"
            " WHERE name = $1"
        )
        if status != "succeeded":
            raise Broken(f"{self.job} is {status}: {error or reason}")

    async def _row(self, sql: str) -> tuple[str, ...]:
        (row,) = await self.ask(sql, self.job)
        return tuple(row)

    async def over(self) -> bool:
        """Whether the job needs nobody any more, or a person."""
        return bool(
            await self.value(
                "SELECT status NOT IN ('queued', 'running') OR desired_state <> 'run' FROM pgbackfill.jobs"
                " WHERE name = $1",
                self.job,
            )
        )

    async def agrees(self) -> None:
        """Work and cursor, in one snapshot; raises Broken."""
        wrong = await self.value(QUESTIONS["disagreeing"], self.job)
        if wrong:
            raise Broken(f"{self.job}: {wrong} rows do not agree with their cursor")

    async def standing(self) -> list[Standing]:
        """All ranges."""
        return [Standing(**row) for row in await self.ask(QUESTIONS["standing"], self.job)]

    async def at_work(self) -> list[Standing] | None:
        """The open ranges, once a chunk has been committed from now on; None where the job ends first."""
        before = {range_.id: range_.chunk_no for range_ in await self.standing()}
        found: list[Standing] = []

        async def look() -> bool:
            nonlocal found
            found = [range_ for range_ in await self.standing() if range_.status == "open"]
            grown = any(range_.chunk_no > before.get(range_.id, 0) for range_ in found)
            return grown or await self.over()

        await self.until(look, "a chunk")
        return None if await self.over() else found

    async def goes_on(self, since: float) -> float:
        """Seconds from `since` (monotonic) until a chunk has been committed from now on."""
        await self.at_work()
        return time.monotonic() - since

    async def taken_over(self, left: Standing, since: float) -> float:
        """Seconds from `since` until somebody else has claimed the range."""

        async def look() -> bool:
            (now,) = [range_ for range_ in await self.standing() if range_.id == left.id]
            return now.epoch > left.epoch or now.status != "open"

        await self.until(look, "the takeover")
        return time.monotonic() - since

    async def until(self, condition: Callable[[], Awaitable[object]], what: str) -> None:
        """Polls; raises Broken where it never comes true."""
        with anyio.move_on_after(PATIENCE_S):
            while not await condition():  # noqa: ASYNC110 - neither Postgres nor a process has an event for this
                await anyio.sleep(POLL_S)
            return
        backends = [tuple(row) for row in await self.ask(QUESTIONS["backends"])]
        raise Broken(f"{self.job}: {what} did not come within {PATIENCE_S:.0f} s; {await self.standing()}, {backends}")

    async def value(self, sql: str, *arguments: object) -> object:
        """The one value of the one row."""
        ((found,),) = await self.ask(sql, *arguments)
        return found

    async def ask(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Asks the database of this moment; a connection that breaks, as they do here, is opened again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(self._dsn(), timeout=5, command_timeout=30)
                if arguments:
                    return await self._connection.fetch(sql, *arguments)
                if sql.lstrip().startswith("SELECT"):
                    return await self._connection.fetch(sql)
                await self._connection.execute(sql)
                return []
            except GONE:
                if self._connection is not None:
                    self._connection.terminate()
                self._connection = None
                if time.monotonic() > deadline:
                    raise
            await anyio.sleep(POLL_S)
