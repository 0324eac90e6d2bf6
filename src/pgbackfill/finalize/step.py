"""One finalize step, from wherever an earlier attempt left it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from pgbackfill.database import steps
from pgbackfill.database.queries import load
from pgbackfill.database.steps import Guide, Step
from pgbackfill.errors import LeaseLost

from . import ddl
from .constraints import add_check, set_not_null, validate_constraint
from .index import create_index
from .running import alone, brief, long, transaction
from .table import Table, find


async def _set_default(step: Step, guide: Guide, table: Table) -> None:
    await brief(guide, table.oid, [ddl.set_default(table.name, step.spec["column"], step.spec["default"])])


async def _analyze(step: Step, guide: Guide, table: Table) -> None:
    await long(guide, table.oid, ddl.analyze(table.name))


async def _vacuum(step: Step, guide: Guide, table: Table) -> None:
    await alone(guide, ddl.vacuum(table.name), "vacuum_progress")


async def _sql(step: Step, guide: Guide, table: Table) -> None:
    """Once: it commits together with its mark. Outside a transaction, at least once."""
    if step.spec.get("transaction") is False:
        await alone(guide, step.spec["sql"])
        return
    await guide.permission()
    async with transaction(guide, table.oid, brief=False) as work:
        await work.fetch(step.spec["sql"])
        ended = await work.fetchval(load("steps")["end_step"], step.id, step.epoch, step.token)
        if ended is None:
            raise LeaseLost(f"step {step.ordinal} (sql) was taken over or its job has ended")


_KINDS: dict[str, Callable[[Step, Guide, Table], Awaitable[None]]] = {
    "set_not_null": set_not_null,
    "set_default": _set_default,
    "add_check": add_check,
    "create_index": create_index,
    "validate_constraint": validate_constraint,
    "analyze": _analyze,
    "vacuum": _vacuum,
    "sql": _sql,
}


async def run(step: Step, guide: Guide) -> None:
    """To its end. Raises JobFailed, Blocked, LeaseLost, and asyncpg's errors as they are; it may then be run again."""
    async with guide.control.use() as control:
        if await control.fetchval(load("steps")["is_done"], step.id):
            return
    await _KINDS[step.kind](step, guide, await find(guide))
    facts = {key: value for key, value in step.spec.items() if key in ("name", "column")}
    with anyio.CancelScope(shield=True):  # the job may be settled, and this task ended, as soon as the step is
        async with guide.control.use() as control:
            if not await control.fetchval(load("steps")["is_done"], step.id):
                await steps.end(control, step)
        await guide.tell("finalized", step=step.kind, **facts)
