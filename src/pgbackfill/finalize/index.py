"""Builds an index concurrently, whatever an earlier attempt has left behind."""

from __future__ import annotations

import asyncpg

from pgbackfill.database.failures import first_line
from pgbackfill.database.queries import load
from pgbackfill.database.steps import Blocked, Guide, Step
from pgbackfill.errors import JobFailed
from pgbackfill.jobs.failures import PASSING, classify

from . import ddl
from .progress import share
from .running import alone
from .table import Table


async def create_index(step: Step, guide: Guide, table: Table) -> None:
    """Until a valid index of that name is there.

    An interrupted attempt leaves an invalid index, for which `IF NOT EXISTS` would report success: it is dropped and
    built anew. One that a session still builds (a daemon was killed, its server process goes on) is waited for.
    """
    name = str(step.spec["name"])
    while not await _is_there(step, guide, table, name):
        try:
            await alone(guide, ddl.create_index(table.name, step.spec), "index_progress")
        except asyncpg.PostgresError as error:
            if classify(error.sqlstate) in PASSING:
                raise
            await _is_there(step, guide, table, name)  # nothing stays of it
            raise JobFailed(f"{first_line(error)} (SQLSTATE {error.sqlstate})") from error


async def _is_there(step: Step, guide: Guide, table: Table, name: str) -> bool:
    """Whether the index is valid; an invalid one is dropped. Raises Blocked while somebody builds it."""
    async with guide.work.use() as work:
        found = await work.fetchrow(load("finalize")["index"], table.oid, name)
    if found is None:
        return False
    if not found["ours"]:
        raise JobFailed(f"{name} is the name of something else in this schema; rename that, then retry the job")
    if found["valid"]:
        return True
    if found["pid"] is not None:
        progress = {key: found[key] for key in ("phase", "blocks_done", "blocks_total", "tuples_done", "tuples_total")}
        await guide.store({"phase": found["phase"]}, share(**progress))
        raise Blocked(f"index_build by pid {found['pid']}")
    await guide.tell("invalid_index_dropped", index=name)
    await alone(guide, ddl.drop_index(table.schema, name))
    return False
