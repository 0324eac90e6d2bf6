"""Constraints in steps of which none keeps anybody waiting: added unchecked, validated beside reads and writes."""

from __future__ import annotations

import asyncpg

from pgbackfill.database.failures import first_line
from pgbackfill.database.queries import load
from pgbackfill.database.steps import Guide, Step
from pgbackfill.errors import JobFailed
from pgbackfill.keyset.names import quote_identifier

from . import ddl
from .running import brief, long
from .table import Table


async def set_not_null(step: Step, guide: Guide, table: Table) -> None:
    """A CHECK that proves it is validated first, so that SET NOT NULL reads nothing under its lock."""
    column, helper = str(step.spec["column"]), ddl.helper_name(step.job_id, step.ordinal)
    async with guide.work.use() as work:
        found = await work.fetchrow(load("finalize")["column"], table.oid, column)
    if found is None:
        raise JobFailed(f"{table.name} has no column {column} any more")
    if not found["not_null"]:
        await _checked(guide, table, helper, f"{quote_identifier(column)} IS NOT NULL")
        await brief(guide, table.oid, [ddl.set_not_null(table.name, column)])
    if await _valid(guide, table, helper) is not None:
        await brief(guide, table.oid, [ddl.drop_constraint(table.name, helper)])


async def add_check(step: Step, guide: Guide, table: Table) -> None:
    await _checked(guide, table, str(step.spec["name"]), str(step.spec["check"]))


async def validate_constraint(step: Step, guide: Guide, table: Table) -> None:
    name = str(step.spec["name"])
    valid = await _valid(guide, table, name)
    if valid is None:
        raise JobFailed(f"{table.name} has no constraint {name} any more")
    if not valid:
        await long(guide, table.oid, ddl.validate(table.name, name))


async def _checked(guide: Guide, table: Table, name: str, check: str) -> None:
    """A valid CHECK. Where a row violates it, it is taken back: nobody asked for half of it."""
    if await _valid(guide, table, name) is None:
        await brief(guide, table.oid, [ddl.add_check(table.name, name, check)])
    if await _valid(guide, table, name):
        return
    try:
        await long(guide, table.oid, ddl.validate(table.name, name))
    except asyncpg.CheckViolationError as error:
        await brief(guide, table.oid, [ddl.drop_constraint(table.name, name)])
        raise JobFailed(
            f"a row violates CHECK ({' '.join(check.split())}) ({first_line(error)}); mend it, then retry the job"
        ) from error


async def _valid(guide: Guide, table: Table, name: str) -> bool | None:
    """None: there is no constraint of that name."""
    async with guide.work.use() as work:
        valid: bool | None = await work.fetchval(load("finalize")["constraint"], table.oid, name)
    return valid
