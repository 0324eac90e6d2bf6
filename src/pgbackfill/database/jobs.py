"""Jobs in the database: what the daemon asks and tells."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg

from pgbackfill.jobs.job import Job

from .queries import load
from .types import Connection


def _sql(name: str) -> str:
    return load("jobs")[name]


@dataclass(frozen=True, slots=True)
class Pending:
    """A job that is not finished; `due` work keeps a draining daemon alive. `reason`: why it is not due."""

    name: str
    status: str
    desired_state: str
    due: bool
    reason: str | None


async def settle(connection: Connection, *, verify: str = "off") -> list[tuple[str, str]]:
    """Moves jobs to the state that follows from their ranges and steps; answers (name, new status).

    `verify`: what is done for jobs that do not say, as in the option of that name.
    """
    candidates = [str(row["id"]) for row in await connection.fetch(_sql("to_settle"))]
    if not candidates:
        return []
    async with connection.transaction():
        locked = [str(row["id"]) for row in await connection.fetch(_sql("lock_to_settle"), candidates)]
        return [(row["name"], row["status"]) for row in await connection.fetch(_sql("settle"), locked, verify)]


async def start_next(connection: Connection, handlers: Iterable[str] = ()) -> str | None:
    """Starts the next due job; None where there is none, or another daemon was faster. Of handler jobs only those whose
    handler is among `handlers`."""
    try:
        row = await connection.fetchrow(_sql("start_job"), list(handlers))
    except asyncpg.UniqueViolationError:  # another daemon started a job on the same table
        return None
    return row["name"] if row is not None else None


async def expire(connection: Connection) -> list[str]:
    """Ends pauses and throttles whose time is over; names of the jobs that go on."""
    return [row["name"] for row in await connection.fetch(_sql("expire"))]


async def active(connection: Connection, handlers: Iterable[str] = (), *, status: str = "running") -> list[Job]:
    """Every job of this status, most urgent first. Of handler jobs only those whose handler is among `handlers`, while
    they run: what follows their last chunk is any daemon's work."""
    return [job_of(row) for row in await connection.fetch(_sql("active_jobs"), status, list(handlers))]


async def pending(connection: Connection, handlers: Iterable[str] = ()) -> list[Pending]:
    """Every job that is not finished; due are those that a daemon with these handlers can work on now."""
    rows = await connection.fetch(_sql("pending"), list(handlers))
    return [Pending(row["name"], row["status"], row["desired_state"], row["due"], row["reason"]) for row in rows]


async def fail(connection: Connection, job_id: int, error: str) -> bool:
    """Fails a running job with its reason; False where it was not running any more."""
    return await connection.fetchval(_sql("fail_job"), job_id, error) is not None


async def pause_itself(connection: Connection, job_id: int, event: str, reason: str) -> bool:
    """Pauses a running job in its own name; the progress view says why until somebody resumes it.

    False where somebody has locked the job or has told it something else meanwhile.
    """
    return await connection.fetchval(_sql("pause_itself"), job_id, event, reason) is not None


async def set_wait_reason(connection: Connection, job_id: int, reason: str | None) -> None:
    """Says in the progress view why an unprepared job waits."""
    await connection.execute(_sql("set_wait_reason"), job_id, reason)


async def any_failed(connection: Connection, ids: list[int]) -> list[str]:
    """Names of those of the jobs that failed."""
    return [row["name"] for row in await connection.fetch(_sql("any_failed"), [str(each) for each in ids])]


async def note(connection: Connection, job_id: int, event: str, **detail: Any) -> None:
    await connection.execute(_sql("note_event"), job_id, event, json.dumps(detail))


async def quarantined(connection: Connection, job_id: int) -> int:
    """Rows of the job that were set aside so far."""
    count: int = await connection.fetchval(_sql("quarantined"), job_id)
    return count


def job_of(row: asyncpg.Record) -> Job:
    """A row with the columns of `active_jobs`."""

    def key(name: str) -> tuple[str, ...] | None:
        return tuple(row[name]) if row[name] is not None else None

    return Job(
        id=row["id"],
        name=row["name"],
        table_name=row["table_name"],
        operation=row["operation"],
        relation=row["relation"],
        key_columns=tuple(row["key_columns"]),
        set_clause=row["set_clause"],
        from_clause=row["from_clause"],
        where_clause=row["where_clause"],
        statement=row["statement"],
        target_relation=row["target_relation"],
        handler=row["handler"],
        params=json.loads(row["params"]),
        from_key=key("from_key"),
        to_key=key("to_key"),
        session_settings=json.loads(row["session_settings"]),
        options=json.loads(row["options"]),
        search_path=row["search_path"],
        time_zone=row["time_zone"],
        status=row["status"],
        desired_state=row["desired_state"],
        prepared=row["prepared"],
        finalizes=row["finalizes"],
        kept_columns=key("kept_columns"),
        throttle_ratio=row["throttle_ratio"] or 1.0,
        throttle_until=row["throttle_until"].isoformat() if row["throttle_until"] else None,
        waits_for=row["waits_for"],
        only_while=tuple(row["only_while"]),
    )
