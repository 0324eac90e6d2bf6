"""Cuts a started job into ranges, once every transaction that is older than its start has ended."""

from __future__ import annotations

import json

from pgbackfill.errors import JobFailed
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.key import Lower
from pgbackfill.keyset.statement import Change

from . import catalog
from .queries import load
from .types import Connection


async def waits_for(connection: Connection, job: Job) -> str | None:
    """Why the upper bound cannot be read yet, or None.

    A row that an open transaction inserted below the bound would be missed, so the bound waits for every transaction
    that is older than the job's start. The reason names the session, prepared transaction or database.
    """
    sql = load("jobs")
    if await connection.fetchval(sql["old_transactions_ended"], job.id):
        return None
    row = await connection.fetchrow(sql["oldest_blocker"])
    if row is None:
        return "old_transaction about to end"
    age = f" open for {row['age_s']:.0f}s" if row["age_s"] is not None else ""
    if row["gid"] is not None:
        return f"old_transaction prepared {row['gid']!r}{age}"
    elsewhere = f" in database {row['datname']}" if row["datname"] and row["datname"] != row["here"] else ""
    return f"old_transaction pid {row['pid']}{elsewhere}{age}"


async def prepare(control: Connection, work: Connection, job: Job) -> bool:
    """Reads the bounds of every leaf and stores them as ranges; False where another daemon has done it or is at it.

    Raises JobFailed when there is nothing to walk by.
    """
    bounds = [await _bounds(work, job, relation) for relation in await catalog.leaves(work, job.relation)]
    async with control.transaction():
        if await control.fetchval(load("jobs")["lock_unprepared"], job.id) is None:
            return False
        lower = list(job.from_key) if job.from_key else None
        for ordinal, (relation, upper, estimate) in enumerate(bounds):
            await control.execute(load("ranges")["insert_range"], job.id, ordinal, relation, lower, upper, estimate)
        await control.execute(load("jobs")["set_prepared"], job.id)
    return True


async def _bounds(work: Connection, job: Job, relation: int) -> tuple[int, list[str] | None, int]:
    """(relation, last key to walk or None where there is no row, rows as the planner estimates them)."""
    change = await catalog.describe_change(work, job, relation)
    if change is None or len(change.key) != len(job.key_columns):
        raise JobFailed(f"table {job.table_name} or its key was dropped before the job began; enqueue it again")
    lower = Lower(job.from_key, inclusive=True) if job.from_key else None
    async with catalog.rolled_back(work, job):
        return relation, *await _upper(work, job, change, lower)


async def _upper(work: Connection, job: Job, change: Change, lower: Lower | None) -> tuple[list[str] | None, int]:
    last = change.last_key(lower, job.to_key)
    row = await work.fetchrow(last.sql, *last.arguments)
    if row is None:
        return None, 0
    count = change.count_estimate(lower, job.to_key)
    plan = json.loads(await work.fetchval(count.sql, *count.arguments))[0]["Plan"]
    return list(row), max(1, int(plan["Plan Rows"]))
