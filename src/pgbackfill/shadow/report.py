"""What people are told of a shadow."""

from __future__ import annotations

from typing import Any

from pgbackfill.database.queries import load
from pgbackfill.database.reports import translated
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError

from .state import Shadow, Stage, of_row


async def status(connection: Connection, name: str | None) -> list[dict[str, Any]]:
    """Rows of `pgbackfill.shadows`, newest first, with the progress of the copy and `next`: what comes next."""
    with translated():
        rows = await connection.fetch(load("shadow")["all"], name)
    if name is not None and not rows:
        raise UsageError(f"There is no shadow {name!r}; `pgbackfill shadow status` lists them.")
    return [dict(row) | {"next": _next(of_row(row), row["job_status"])} for row in rows]


def _next(shadow: Shadow, job_status: str | None) -> str:
    command = "pgbackfill shadow"
    match shadow.stage:
        case Stage.MADE | Stage.FOLLOWING:
            return f"{command} create {shadow.name} {shadow.label}, which goes on"
        case Stage.COPYING if job_status != "succeeded":
            return f"wait for the copy, job {shadow.job_name}"
        case Stage.COPYING:
            return f"{command} verify {shadow.name}, {command} cutover {shadow.name}"
        case Stage.CUT_OVER if shadow.way_back:
            return f"{command} rollback {shadow.name}, or {command} drop {shadow.name}"
        case Stage.CUT_OVER:
            return f"{command} drop {shadow.name}"
        case _:
            return ""


def done(shadow: Shadow) -> str:
    """One sentence on where a shadow stands."""
    match shadow.stage:
        case Stage.COPYING:
            return (
                f"{shadow.label} is the old table, and {shadow.shadow_name} follows it; "
                f"the copy is job {shadow.job_name}, `pgbackfill shadow status {shadow.name}` shows it."
            )
        case Stage.CUT_OVER if shadow.way_back:
            return (
                f"{shadow.label} is the new table, and {shadow.old_name} follows it; "
                f"`pgbackfill shadow rollback {shadow.name}` goes back, `drop` ends it."
            )
        case Stage.CUT_OVER:
            return f"{shadow.label} is the new table; {shadow.old_name} is kept as it was until `drop`."
        case Stage.ABORTED:
            kept = "" if shadow.own_target else f"; {shadow.shadow_name} was made by somebody else and stays"
            return f"The shadow {shadow.name} is gone, {shadow.label} as it was{kept}."
        case Stage.DROPPED:
            return f"{shadow.old_name} is gone; {shadow.label} is an ordinary table again."
        case _:
            return f"The shadow {shadow.name} is {shadow.stage}; run `pgbackfill shadow create` again to go on."
