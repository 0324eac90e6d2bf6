"""A database with tables to backfill, jobs to enqueue, and a daemon that runs them to the end in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import asyncpg
from pydantic import SecretStr

from pgbackfill.database.types import Connection
from pgbackfill.settings import Settings
from pgbackfill.worker import daemon

PATIENCE_S = 20
"""A test that waits longer than this for something hangs."""


@dataclass
class Field:
    """`database` is the fixture of that name, `connection` a superuser's."""

    database: Any
    connection: Connection

    @classmethod
    async def open(cls, database: Any, *ddl: str) -> Field:
        """Connects and runs the given statements."""
        field = cls(database, await database.connect())
        for statement in ddl:
            await field.connection.execute(statement)
        return field

    async def execute(self, sql: str, *arguments: Any) -> str:
        return str(await self.connection.execute(sql, *arguments))

    async def value(self, sql: str, *arguments: Any) -> Any:
        return await self.connection.fetchval(sql, *arguments)

    async def rows(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.connection.fetch(sql, *arguments)]

    async def enqueue(self, connection: Connection | None = None, **row: Any) -> int:
        """Inserts a job; `name` and, for an update, `set_clause` have defaults."""
        row = {"name": "job"} | row
        if row.get("operation", "update") == "update":
            row.setdefault("set_clause", "n = n + 1")
        values = [json.dumps(value) if isinstance(value, Mapping) else value for value in row.values()]
        places = ", ".join(f"${i}" for i in range(1, len(row) + 1))
        job_id: int = await (connection or self.connection).fetchval(
            f"INSERT INTO pgbackfill.jobs ({', '.join(row)}) VALUES ({places}) RETURNING id", *values
        )
        return job_id

    def settings(self, **changes: Any) -> Settings:
        values = {"dsn": SecretStr(self.database.dsn), "poll_s": 0.05, "chunk_max_rows": 7, "max_concurrent_jobs": 4}
        return Settings(**(values | changes))

    async def drain(self, **settings: Any) -> int:
        """Runs a daemon until nothing due is left; its exit code."""
        chosen = self.settings(**settings)
        with anyio.fail_after(PATIENCE_S):
            return await daemon.run(chosen, drain=True, reload=lambda: chosen)

    @asynccontextmanager
    async def daemon(self, **settings: Any) -> AsyncIterator[None]:
        """A daemon that works in the background."""
        chosen = self.settings(**settings)

        async def work() -> None:
            await daemon.run(chosen, drain=False, reload=lambda: chosen)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            yield
            tasks.cancel_scope.cancel()

    async def backfill(self, **row: Any) -> asyncpg.Record:
        """Enqueues a job, runs it to the end, checks that it succeeded and returns its progress."""
        await self.enqueue(**row)
        assert await self.drain() == 0, await self.error(row.get("name", "job"))
        return await self.succeeded(row.get("name", "job"))

    async def succeeded(self, name: str = "job") -> asyncpg.Record:
        await self.connection.fetchval("SELECT pgbackfill.assert_finished($1)", name)
        return await self.progress(name)

    async def progress(self, name: str = "job") -> asyncpg.Record:
        row = await self.connection.fetchrow("SELECT * FROM pgbackfill.progress WHERE name = $1", name)
        assert row is not None
        return row

    async def error(self, name: str = "job") -> str | None:
        found: str | None = await self.value("SELECT error FROM pgbackfill.jobs WHERE name = $1", name)
        return found

    async def events(self, event: str, name: str = "job") -> list[dict[str, Any]]:
        """The details of the job's events of that kind, in order."""
        rows = await self.rows(
            "SELECT e.detail FROM pgbackfill.events e JOIN pgbackfill.jobs j ON j.id = e.job_id"
            " WHERE j.name = $1 AND e.event = $2 ORDER BY e.id",
            name,
            event,
        )
        return [json.loads(detail) for (detail,) in rows]


async def eventually(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Asks until the answer is true, and returns it."""
    with anyio.fail_after(PATIENCE_S):
        while not (answer := await condition()):  # noqa: ASYNC110 - Postgres has no event for most of what is asked
            await anyio.sleep(0.01)
    return answer
