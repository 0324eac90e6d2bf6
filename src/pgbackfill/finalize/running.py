"""Runs one statement of a step: in a transaction with bounded waits, or alone, where Postgres wants it so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import asyncpg

from pgbackfill.database.connect import is_pooler
from pgbackfill.database.link import passing
from pgbackfill.database.queries import load
from pgbackfill.database.steps import Blocked, Guide
from pgbackfill.database.types import Connection
from pgbackfill.jobs.failures import Failure, classify

from . import ddl
from .progress import share

LOOK_EVERY_S = 1.0


@asynccontextmanager
async def transaction(guide: Guide, relation: int, *, brief: bool) -> AsyncIterator[Connection]:
    """The work login's, committed at the end. Raises Blocked, which names who holds the table, at a lock time-out."""
    async with guide.work.use() as work:
        try:
            await work.execute(ddl.begin(guide.job, guide.options, brief=brief))
            yield work
            await work.execute("COMMIT")
            await guide.worked()
        except asyncpg.PostgresError as error:
            if classify(error.sqlstate) is not Failure.LOCKED:
                raise
            await work.execute("ROLLBACK")
            raise Blocked(await _holder(work, relation)) from error
        finally:
            if not work.is_closed() and work.is_in_transaction():
                await work.execute("ROLLBACK")


async def brief(guide: Guide, relation: int, statements: Sequence[str]) -> None:
    """Statements that take ACCESS EXCLUSIVE for a moment, together."""
    await guide.permission()
    async with transaction(guide, relation, brief=True) as work:
        for statement in statements:
            await work.fetch(statement)


async def long(guide: Guide, relation: int, statement: str) -> None:
    """A statement that reads the table without keeping anybody from it."""
    await guide.permission()
    async with transaction(guide, relation, brief=False) as work:
        await work.fetch(statement)


async def alone(guide: Guide, statement: str, view: str | None = None) -> None:
    """A statement that may be in no transaction. `view`: the query that tells how far it is."""
    await guide.permission()
    failure: Exception | None = None
    async with guide.work.use() as work, anyio.create_task_group() as group:
        if not await is_pooler(work):  # behind a pooler the session would be somebody else's next
            await work.execute(ddl.outside(guide.job))
        if view is not None:
            group.start_soon(_watch, guide, await work.fetchval("SELECT pg_catalog.pg_backend_pid()"), view)
        try:
            await work.fetch(statement)
        except Exception as error:  # raised again below: a task group would wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    await guide.worked()


async def _watch(guide: Guide, pid: int, view: str) -> None:
    while True:
        await anyio.sleep(LOOK_EVERY_S)
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                async with guide.control.use() as control:
                    row = await control.fetchrow(load("finalize")[view], pid)
                if row is not None and row["phase"] is not None:
                    await guide.store({"phase": row["phase"]}, share(**dict(row)))
        except Exception as error:
            if not passing(error):
                raise


async def _holder(work: Connection, relation: int) -> str:
    row = await work.fetchrow(load("finalize")["lock_holder"], relation)
    if row is None:
        return "table_locked by another session"
    age = f" open for {row['age_s']:.0f}s" if row["age_s"] is not None else ""
    return f"table_locked by pid {row['pid']}{age}"
