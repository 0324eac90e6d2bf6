"""Plans a job of a field."""

from __future__ import annotations

from typing import Any

from pgbackfill.control.options import PacingOptions
from pgbackfill.plan import subject
from pgbackfill.plan.report import plan

from .field import Field


async def planned(field: Field, *, sample: bool = False, **row: Any) -> Any:
    """Enqueues a job and plans it."""
    await field.enqueue(**row)
    found = await subject.existing(field.connection, row.get("name", "job"))
    work = await field.database.connect()
    return await plan(field.connection, work, found, found.job.pacing(PacingOptions()), sample=sample)


def kinds(plan: dict[str, Any]) -> set[str]:
    """Of its hazards."""
    return {hazard["kind"] for hazard in plan["hazards"]}
