"""What a handler job needs to know of its table, and how its lease is kept while it computes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from pgbackfill.errors import JobFailed
from pgbackfill.handlers.registry import Handler
from pgbackfill.jobs.job import Job

from . import catalog
from .queries import load
from .types import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column:
    """Of the walked table. `fixed`: why a handler must not set it, or None."""

    name: str
    type_name: str
    json: bool
    fixed: str | None


@dataclass(frozen=True, slots=True)
class Work:
    """What a handler chunk needs beside what every chunk needs."""

    handler: Handler
    columns: tuple[Column, ...]
    stopping: Callable[[], bool]
    resource: Any = None


async def columns_of(connection: Connection, job: Job, relation: int, handler: Handler) -> tuple[Column, ...]:
    """The columns of a leaf. Raises JobFailed where the handler reads one that is not there."""
    async with catalog.rolled_back(connection):
        rows = await connection.fetch(load("handler")["columns"], relation, job.relation, list(job.key_columns))
    columns = tuple(Column(row["name"], row["type_name"], row["json"], row["fixed"]) for row in rows)
    missing = set(handler.reads or ()) - {column.name for column in columns}
    if missing:
        raise JobFailed(
            f"handler {handler.name} reads {', '.join(sorted(missing))}, which {job.table_name} does not have"
        )
    return columns


def parsed(column: Column, value: Any) -> Any:
    """A column's value as a handler gets it."""
    return json.loads(value) if column.json and isinstance(value, str) else value


async def keeping(work: Callable[[], Awaitable[T]], renew: Callable[[], Awaitable[None]], *, every_s: float) -> T:
    """What `work` answers, while `renew` is called now and then; what either raises, as it is."""
    answers: list[T] = []
    errors: list[Exception] = []

    async def keep(scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(every_s)
            try:
                with anyio.CancelScope(shield=True):  # a query that is cut off costs the connection
                    await renew()
            except Exception as error:
                errors.append(error)
                scope.cancel()
                return

    async with anyio.create_task_group() as group:
        group.start_soon(keep, group.cancel_scope)
        try:
            answers.append(await work())
        except Exception as error:
            errors.append(error)
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]
    return answers[0]
