"""Whether the work login may run a job, asked of Postgres itself before the first chunk; if not, what to GRANT.

Every statement of a chunk is planned under the work login on every leaf: EXPLAIN checks rights on tables, columns and
functions as execution does. What the job's SQL uses is looked up in pg_depend, as the body of a function that is rolled
back at once.
"""

from __future__ import annotations

import re

import asyncpg

from pgbackfill.errors import JobFailed
from pgbackfill.jobs.failures import PASSING, classify
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.statement import Change, Form, Statement

from . import catalog
from .failures import first_line
from .queries import load
from .types import Connection

_NEEDED = {
    "update": ["SELECT", "UPDATE"],
    "delete": ["SELECT", "DELETE"],
    "statement": ["SELECT", "UPDATE"],
    "handler": ["SELECT", "UPDATE"],
}
"""On the walked table; a statement's keys are locked there first."""

_WRITES = re.compile(
    r"\s*(insert|update|delete|merge)\s+(?:into\s+|from\s+)?(?:only\s+)?((?:\"[^\"]+\"|[\w.$])+)", re.I
)
_WRITTEN = {
    "insert": ["INSERT"],
    "update": ["SELECT", "UPDATE"],
    "delete": ["SELECT", "DELETE"],
    "merge": ["SELECT", "INSERT", "UPDATE", "DELETE"],
}


async def check(control: Connection, work: Connection, job: Job) -> None:
    """Raises JobFailed with every GRANT that is missing. `control` looks up names that `work` may not even see."""
    async with catalog.rolled_back(work):
        login = await work.fetchrow(load("rights")["login"], job.relation)
        leaves = await work.fetch(load("rights")["leaves"], job.relation, _NEEDED[job.operation])
    assert login is not None, "a SELECT without FROM answers a row"
    if not login["doors"]:
        raise JobFailed(
            f"the work login {login['name']} may not run chunks; GRANT pgbackfill_worker TO {login['name']}"
        )
    missing: dict[str, None] = {}
    said = ""
    for number, leaf in enumerate(leaves):
        # Leaves of one table differ in nothing but rights, so with all of them granted the first one speaks for it.
        if number > 0 and leaf["granted"]:
            continue
        refusal = await _refusal(work, job, leaf["oid"])
        if refusal is not None:
            said = said or refusal
            missing |= dict.fromkeys(await _grants(control, work, job, leaf["oid"]))
    if missing:
        raise JobFailed(f"the work login {login['name']} lacks rights ({said}); {'; '.join(missing)}")
    if said and login["secured"]:
        said += f'; ALTER ROLE {login["name"]} BYPASSRLS, or enqueue with session_settings {{"row_security": "on"}}'
    if said:
        raise JobFailed(f"the work login {login['name']} may not run the job: {said}")


async def _refusal(work: Connection, job: Job, relation: int) -> str | None:
    """What Postgres says where it refuses the job's statements on this leaf."""
    try:
        change = await catalog.describe_change(work, job, relation)
        if change is None:
            return None
        form = await catalog.choose_form(work, job, change, relation)
        async with catalog.rolled_back(work, job):
            last = change.last_key(None, None)
            key = await work.fetchrow(last.sql, *last.arguments)
            for statement in _statements(change, form, tuple(key)) if key is not None else []:
                await work.fetch(f"EXPLAIN {statement.sql}", *statement.arguments)
    except asyncpg.InsufficientPrivilegeError as error:
        return first_line(error)
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:
            raise
        # Wrong in another way: the first chunk says so, with its statement.
    return None


def _statements(change: Change, form: Form, key: tuple[str, ...]) -> list[Statement]:
    """Those of a chunk that ends with `key`."""
    if form is Form.RANGE:
        return [change.change_range(None, key, measured=False)]
    if form is Form.LOCKED_RANGE:
        return [change.lock_and_count(None, key), change.change_range(None, key, measured=False)]
    if change.operation == "handler":
        return [change.lock_and_list(None, key)]
    return [change.lock_and_list(None, key), change.change_joined([[part] for part in key], measured=False)]


async def _grants(control: Connection, work: Connection, job: Job, relation: int) -> list[str]:
    uses = await _uses(control, job, relation)
    words = _WRITES.match(job.statement) if job.statement else None
    needed = list(_NEEDED[job.operation])
    if job.operation == "delete" and (job.from_clause or "select" in (job.where_clause or "").lower()):
        needed.append("UPDATE")  # its rows are locked first
    written = await _found(control, job, words[2]) if words else None
    written_needs = _WRITTEN[words[1].lower()] if words else []
    if written == relation:
        needed += [each for each in written_needs if each not in needed]
    async with catalog.rolled_back(work):
        for whole_table in (False, True):
            rows = await work.fetch(
                load("rights")["missing"],
                relation, needed, written, written_needs,
                [use["class"] for use in uses], [use["oid"] for use in uses], whole_table,
            )  # fmt: skip
            if rows:
                break
    return [row["statement"] for row in rows]


async def _found(control: Connection, job: Job, name: str) -> int | None:
    try:
        async with catalog.rolled_back(control, job):
            oid: int | None = await control.fetchval(load("rights")["written"], name)
    except asyncpg.InsufficientPrivilegeError:
        return None
    return oid


async def _uses(control: Connection, job: Job, relation: int) -> list[asyncpg.Record]:
    """What the job's SQL names; nothing where the daemon's own login may not look."""
    try:
        change = await catalog.describe_change(control, job, relation)
        if change is None:
            return []
        key = ("0",) * len(change.key)
        by_keys = job.operation in ("statement", "handler") or job.from_clause is not None
        form = Form.JOINED if by_keys else Form.RANGE
        statement = _statements(change, form, key)[-1]
        kind = "text[]" if form is Form.JOINED else "text"
        arguments = ", ".join([kind] * len(statement.arguments))
        async with catalog.rolled_back(control, job):
            await control.fetch(
                f"CREATE FUNCTION pg_temp.pgbackfill_probe({arguments}) RETURNS void LANGUAGE sql"
                f" BEGIN ATOMIC {statement.sql}; END"
            )
            return await control.fetch(load("rights")["uses"])
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:
            raise
        return []
