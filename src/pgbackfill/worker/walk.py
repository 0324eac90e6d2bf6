"""Finds out what a claimed range looks like now, and by which kind of chunk it is worked on."""

from __future__ import annotations

from collections.abc import Callable

from pgbackfill.database import catalog
from pgbackfill.database.catalog import Walk
from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.handler_chunk import HandlerChunk, RetryHandlerChunk
from pgbackfill.database.handler_work import Work, columns_of
from pgbackfill.database.outcome import LeafMoved
from pgbackfill.database.retry import RetryChunk
from pgbackfill.database.types import Connection
from pgbackfill.errors import JobFailed
from pgbackfill.handlers.registry import Handlers
from pgbackfill.jobs.job import Claim, Job
from pgbackfill.keyset.statement import Change, Form


async def open_walk(connection: Connection, job: Job, claim: Claim) -> Walk:
    """Raises LeafMoved where the table has been dropped."""
    walk = await catalog.open_walk(connection, job, claim.relation)
    if walk is None:
        raise LeafMoved(job.table_name)
    return walk


async def open_chunk(
    connection: Connection,
    job: Job,
    claim: Claim,
    change: Change,
    form: Form,
    *,
    handlers: Handlers,
    stopping: Callable[[], bool],
    lease_s: float,
) -> ChunkTransaction:
    """`stopping` tells a handler's calls that somebody wants the job to stop. Raises JobFailed."""
    if job.operation != "handler":
        kind = RetryChunk if claim.retry else ChunkTransaction
        return kind(connection, job, claim, change, form, lease_s=lease_s)
    handler = handlers.get(job.handler)
    if handler is None:
        raise JobFailed(f"handler {job.handler} is not loaded in this daemon")
    columns = await columns_of(connection, job, claim.relation, handler)
    work = Work(handler, columns, stopping, handlers.resource(handler.name))
    by_handler = RetryHandlerChunk if claim.retry else HandlerChunk
    return by_handler(connection, job, claim, change, form, lease_s=lease_s, work=work)
