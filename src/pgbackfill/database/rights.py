"""Whether the work login may run a job, asked of Postgres itself before the first chunk; if not, what to GRANT.

Every statement of a chunk is planned under the work login on every leaf: EXPLAIN checks rights on tables, columns and
functions as execution does. What the job's SQL uses is looked up in pg_depend, as the body of a function that is rolled
back at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import asyncpg

from pgbackfill.errors import JobFailed
from pgbackfill.jobs.failures import PASSING, classify
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.statement import Change, Form, Statement

from . import catalog
from .catalog import Walk
from .failures import first_line
from .queries import load
from .types import Connection

_NEEDED = {
    "update": ["SELECT", "UPDATE"],
    "delete": ["SELECT", "DELETE"],
    "statement": ["SELECT", "UPDATE"],
    "copy": ["SELECT", "UPDATE"],
    "handler": ["SELECT", "UPDATE"],
}
"""On the walked table; a statement's keys are locked there first, and the rows that are copied."""

_WRITES = re.compile(
    r"\s*(insert|update|delete|merge)\s+(?:into\s+|from\s+)?(?:only\s+)?((?:\"[^\"]+\"|[\w.$])+)", re.I
)
_WRITTEN = {
    "insert": ["INSERT"],
    "update": ["SELECT", "UPDATE"],
    "delete": ["SELECT", "DELETE"],
    "merge": ["SELECT", "INSERT", "UPDATE", "DELETE"],
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the work login itself can tell: how the first leaf is walked (None where that could not be found out), and
    what was refused, by leaf."""

    login: asyncpg.Record
    walk: Walk | None
    refused: list[tuple[int, str]]


async def check(control: Connection, work: Connection, job: Job) -> None:
    """Raises JobFailed with every GRANT that is missing. `control` looks up names that `work` may not even see."""
    await judge(control, work, job, await look(work, job))


async def look(work: Connection, job: Job) -> Seen:
    """The first half of `check`. Raises JobFailed where the login may run no chunk at all."""
    async with catalog.rolled_back(work):
        login = await work.fetchrow(load("rights")["login"], job.relation)
        leaves = await work.fetch(load("rights")["leaves"], job.relation, _NEEDED[job.operation])
    assert login is not None, "a SELECT without FROM answers a row"
    if not login["doors"]:
        raise JobFailed(
            f"the work login {login['name']} may not run chunks; GRANT pgbackfill_worker TO {login['name']}"
        )
    first, refused = None, []
    for number, leaf in enumerate(leaves):
        # Leaves of one table differ in nothing but rights, so with all of them granted the first one speaks for it.
        if number > 0 and leaf["granted"]:
            continue
        walk, refusal = await _look(work, job, leaf["oid"])
        first = walk if number == 0 else first
        if refusal is not None:
            refused.append((leaf["oid"], refusal))
    return Seen(login, first, refused)


async def judge(control: Connection, work: Connection, job: Job, seen: Seen) -> None:
    """The second half: names the GRANTs that are missing."""
    if job.finalizes:
        await _check_finalize(control, work, job)
    if not seen.refused:
        return
    login, said = seen.login, seen.refused[0][1]
    missing: dict[str, None] = {}
    for leaf, _ in seen.refused:
        missing |= dict.fromkeys(await _grants(control, work, job, leaf))
    if missing:
        raise JobFailed(f"the work login {login['name']} lacks rights ({said}); {'; '.join(missing)}")
    if login["secured"]:
        said += f'; ALTER ROLE {login["name"]} BYPASSRLS, or enqueue with session_settings {{"row_security": "on"}}'
    raise JobFailed(f"the work login {login['name']} may not run the job: {said}")


async def _check_finalize(control: Connection, work: Connection, job: Job) -> None:
    """Hours later would be too late to learn that the work login may not touch the table's definition."""
    kinds = await control.fetchval(load("rights")["finalize_kinds"], job.id)
    if kinds:
        async with catalog.rolled_back(work):
            grants = await work.fetch(load("rights")["finalize"], job.relation, kinds)
        if grants:
            raise JobFailed(
                f"the work login may not do what finalize asks for ({', '.join(kinds)});"
                f" {'; '.join(row['statement'] for row in grants)}"
            )


async def _look(work: Connection, job: Job, relation: int) -> tuple[Walk | None, str | None]:
    """How this leaf is walked, and what Postgres says where it refuses the job's statements on it."""
    walk = None
    try:
        walk = await catalog.open_walk(work, job, relation)
        if walk is None:
            return None, None
        async with catalog.rolled_back(work, job):
            last = walk.change.last_key(None, None)
            key = await work.fetchrow(last.sql, *last.arguments)
            for statement in _statements(walk.change, walk.form, tuple(key)) if key is not None else []:
                await work.fetch(f"EXPLAIN {statement.sql}", *statement.arguments)
    except asyncpg.InsufficientPrivilegeError as error:
        return walk, first_line(error)
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:
            raise
        # Wrong in another way: the first chunk says so, with its statement.
    return walk, None


def _statements(change: Change, form: Form, key: tuple[str, ...]) -> list[Statement]:
    """Those of a chunk that ends with `key`."""
    if form is Form.RANGE:
        return [change.change_range(None, key, measured=False)]
    if form is Form.LOCKED_RANGE:
        return [change.lock_and_count(None, key, measured=False), change.change_range(None, key, measured=False)]
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
    if job.operation == "copy":
        written, written_needs = job.target_relation, ["SELECT", "INSERT"]  # the conflict on the key reads it
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
        by_keys = change.operation in ("statement", "handler") or job.from_clause is not None
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
