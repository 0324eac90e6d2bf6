"""Verification as the step that follows a job's last chunk."""

from __future__ import annotations

from collections.abc import Sequence

from pgbackfill.database import steps
from pgbackfill.database.queries import load
from pgbackfill.database.steps import Guide, Step
from pgbackfill.errors import JobFailed

from .criterion import NotVerifiable
from .place import Place
from .tally import Tally
from .walk import Pass

REPAIRS_MOST = 3
"""What is as it was after so many repairs is kept so by something: a trigger, a rule of the application."""


async def run(step: Step, guide: Guide, replicas: Sequence[Place]) -> None:
    """To the end of the pass; where rows are wrong, the job fails or walks again. Raises JobFailed, LeaseLost."""
    looked = Pass(guide, replicas)
    try:
        tally = await looked.run(Tally.read(step.state))
    except NotVerifiable as error:
        await guide.tell("verification_skipped", reason=str(error))
        async with guide.control.use() as control:
            await steps.skip(control, step)
        return
    async with guide.control.use() as control:
        aside = await control.fetchval(load("jobs")["quarantined"], step.job_id)
    await guide.tell(
        "verified", rows=tally.rows, mismatches=tally.mismatches, later=tally.later, quarantined=aside, on=looked.place,
        round=step.round,
    )  # fmt: skip
    if tally.mismatches == 0:
        async with guide.control.use() as control:
            await steps.end(control, step)
    elif step.spec["mode"] == "repair" and step.round < REPAIRS_MOST:
        async with guide.control.use() as control:
            await steps.repair(control, step, tally.repairs())
    else:
        raise JobFailed(failure(step, tally))


def failure(step: Step, tally: Tally) -> str:
    """One sentence that says what is wrong and what to do."""
    rows = f"{tally.mismatches} {'row' if tally.mismatches == 1 else 'rows'}"
    after = f" after {step.round} repairs" if step.round else ""
    what = (
        "something takes the change back, perhaps a trigger"
        if step.round
        else "a trigger may hold the change back; with the option verify = repair, retry walks these rows again"
    )
    return (
        f"verification found {rows} that the job promised to change as before{after}; {what}; see pgbackfill.mismatches"
    )
