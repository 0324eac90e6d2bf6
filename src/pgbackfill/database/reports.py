"""What people ask about jobs and tell them, for the command line and HTTP alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import asyncpg

from pgbackfill.database.link import lost
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.errors import DatabaseUnavailable, JobRefused, UsageError
from pgbackfill.jobs.failures import Failure, classify

Action = Literal["pause", "resume", "cancel", "retry", "approve"]
ACTIONS: Final[tuple[Action, ...]] = ("pause", "resume", "cancel", "retry", "approve")

MOST_JOBS: Final = 500

PARTS: Final = ("hazards", "ranges", "steps", "events", "quarantine")
"""What is told of one job beside its row."""


class UnknownJob(UsageError):
    """There is no job of that name."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """The columns of `pgbackfill.jobs` that an enqueuer writes, with their defaults."""

    name: str
    table_name: str
    operation: str = "update"
    set_clause: str | None = None
    from_clause: str | None = None
    where_clause: str | None = None
    statement: str | None = None
    target_table: str | None = None
    handler: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    key_columns: Sequence[str] | None = None
    from_key: Sequence[str] | None = None
    to_key: Sequence[str] | None = None
    session_settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    run_after: datetime | None = None
    desired_state: str = "run"
    finalize: list[Any] = field(default_factory=list)
    keep_old: bool = False
    undo_set_clause: str | None = None
    windows: dict[str, Any] | None = None
    after: Sequence[str] = ()
    approve: bool = False


async def progress(connection: Connection, limit: int = MOST_JOBS) -> list[dict[str, Any]]:
    """Rows of `pgbackfill.progress`, unfinished jobs first."""
    with translated():
        return [dict(row) for row in await connection.fetch(_sql("progress"), limit)]


async def progress_of(connection: Connection, name: str) -> dict[str, Any]:
    """One row of `pgbackfill.progress`. Raises UnknownJob."""
    with translated():
        row = await connection.fetchrow(_sql("progress_of_job"), name)
    if row is None:
        raise UnknownJob(f"There is no job {name!r}; `pgbackfill status` lists them.")
    return dict(row)


async def job(connection: Connection, name: str) -> dict[str, Any]:
    """One job with `hazards`, `ranges`, latest `events` and `quarantine` counts by SQLSTATE. Raises UnknownJob.

    A part that this login may not read is None.
    """
    found = await progress_of(connection, name)
    head = await _readable(connection, "job", name)
    if not head:
        return found | dict.fromkeys(PARTS)
    job_id = head[0].pop("id")
    parts = {part: await _readable(connection, f"{part}_of_job", job_id) for part in PARTS}
    return found | head[0] | parts


async def command(
    connection: Connection, name: str, action: Action, *, duration: timedelta | None = None
) -> dict[str, Any]:
    """Pauses (for a `duration`, or until somebody resumes), resumes, cancels, retries or approves.

    Answers the job's row of `pgbackfill.progress` as it is then. Raises UnknownJob, and UsageError where the job cannot
    do that now.
    """
    async with connection.transaction():  # else a fast daemon has gone on before the answer is read
        await _told(connection, action, name, *([duration] if action == "pause" else []))
        return await progress_of(connection, name)


async def set_option(connection: Connection, name: str, option: str, value: int) -> None:
    """Changes one option of a job, which takes effect within a second. Raises UnknownJob, and UsageError."""
    with translated():
        if await connection.fetchval(_sql("set_option"), name, option, value) is None:
            raise UnknownJob(f"There is no job {name!r}; `pgbackfill status` lists them.")


async def signals(connection: Connection) -> list[dict[str, Any]] | None:
    """What the living daemons see of replicas and latency; None where this login may not read it."""
    with translated():
        return await _readable(connection, "signals")


async def throttle(connection: Connection, name: str | None, ratio: float, duration: timedelta) -> datetime:
    """Lets a job (None: every job of the database) make this share of its pace; answers when that ends.

    Raises UnknownJob, and UsageError where ratio or duration is wrong or the job is finished.
    """
    ends: datetime = await _told(connection, "throttle", name, ratio, duration)
    return ends


async def unthrottle(connection: Connection, name: str | None) -> int:
    """Ends the throttle of a job (None: every throttle in the database); how many there were. Raises UnknownJob."""
    ended: int = await _told(connection, "unthrottle", name)
    return ended


async def _told(connection: Connection, query: str, name: str | None, *values: object) -> Any:
    with translated():
        try:
            return await connection.fetchval(_sql(query), name, *values)
        except asyncpg.NoDataFoundError:
            raise UnknownJob(f"There is no job {name!r}; `pgbackfill status` lists them.") from None


async def undo(connection: Connection, name: str) -> str:
    """Enqueues the job that undoes another; its name. Raises UnknownJob, and UsageError where nothing can be undone."""
    job_id = await _told(connection, "undo", name)
    found: str = await connection.fetchval(_sql("name_of"), job_id)
    return found


async def enqueue(connection: Connection, job: NewJob) -> int | None:
    """Inserts the job and returns its id; None where one of that name exists. Raises JobRefused."""
    with translated(refused=JobRefused):
        found: int | None = await connection.fetchval(
            _sql("enqueue"),
            job.name, job.table_name, job.operation, job.set_clause, job.from_clause, job.where_clause, job.statement,
            job.target_table, job.handler, json.dumps(job.params), job.key_columns, job.from_key, job.to_key,
            json.dumps(job.session_settings), json.dumps(job.options), job.priority, job.run_after, job.desired_state,
            json.dumps(job.finalize), job.keep_old, job.undo_set_clause,
            None if job.windows is None else json.dumps(job.windows), list(job.after), job.approve,
        )  # fmt: skip
    return found


@contextmanager
def translated(refused: type[UsageError] = UsageError) -> Iterator[None]:
    """Postgres's refusals as one sentence; a broken connection is left to whoever owns it."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedFunctionError) as error:
        if "pgbackfill." not in error.args[0] and '"pgbackfill"' not in error.args[0]:
            raise refused(_sentence(error)) from error
        raise DatabaseUnavailable(
            "The schema pgbackfill is missing or too old in this database; run `pgbackfill migrate`."
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseUnavailable(
            _sentence(error, "an admin can GRANT pgbackfill_enqueuer or pgbackfill_viewer")
        ) from error
    except asyncpg.PostgresError as error:
        if lost(error):
            raise
        if classify(error.sqlstate) in (Failure.SLOW, Failure.HOLD):
            raise DatabaseUnavailable(_sentence(error, "try again later")) from error
        raise refused(_sentence(error)) from error


async def _readable(connection: Connection, query: str, *arguments: object) -> list[dict[str, Any]] | None:
    try:
        rows = await connection.fetch(_sql(query), *arguments)
    except asyncpg.InsufficientPrivilegeError:
        return None
    return [{name: _value(name, value) for name, value in row.items()} for row in rows]


def _value(name: str, value: Any) -> Any:
    return json.loads(value) if name in ("options", "detail", "spec", "state") and isinstance(value, str) else value


def _sentence(error: asyncpg.PostgresError, advice: str | None = None) -> str:
    hint = getattr(error, "hint", None) or advice
    text = str(error.args[0]).rstrip(".")
    return f"{text}; {str(hint).rstrip('.')}." if hint else f"{text}."


def _sql(name: str) -> str:
    return load("reports")[name]
