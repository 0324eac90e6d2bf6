"""The steps that follow a job's last chunk: claims and leases, and what a step may ask of the daemon that runs it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pgbackfill.control.options import PacingOptions
from pgbackfill.errors import LeaseLost
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.key import KeyText

from .link import Link
from .queries import load
from .types import Connection


class Blocked(Exception):
    """Somebody has to get out of the way first; the message is the reason of the hold: `table_locked by pid 123`."""


@dataclass(slots=True)
class Step:
    """One claimed step. `token` is a secret: only its hash is stored. `state` is where it is, as it was last stored."""

    id: int
    job_id: int
    ordinal: int
    kind: str
    spec: dict[str, Any]
    state: dict[str, Any]
    round: int
    epoch: int
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Walked:
    """One range that the job has walked."""

    ordinal: int
    relation: int
    lower_key: KeyText | None
    lower_inclusive: bool
    upper_key: KeyText
    rows: int


class Guide(Protocol):
    """What a step may ask of the daemon that runs it."""

    job: Job
    options: PacingOptions
    control: Link
    """pgbackfill's own tables."""
    work: Link
    """The login that runs the job's SQL."""

    async def permission(self) -> int:
        """Waits until the pace lets work be done; how many rows may be looked at now."""

    def spent(self, rows: int, seconds: float) -> None:
        """What the last piece of work has cost."""

    async def worked(self) -> None:
        """A statement has done its work: what kept it from it is over. Raises LeaseLost."""

    async def store(self, state: dict[str, Any], share: float | None) -> None:
        """Keeps where the step is, for whoever goes on with it. Raises LeaseLost."""

    async def tell(self, event: str, **detail: Any) -> None:
        """Writes an event of the job, and the log."""


async def claim(connection: Connection, job_id: int, *, worker_id: int, lease_s: float) -> Step | None:
    """Takes the job's next step; None where somebody else has it or none is left."""
    token = secrets.token_bytes(16)
    row = await connection.fetchrow(_sql("claim_step"), job_id, token, worker_id, lease_s)
    if row is None:
        return None
    values = dict(row) | {"spec": json.loads(row["spec"]), "state": json.loads(row["state"])}
    return Step(**values, token=token)


async def store(connection: Connection, step: Step, state: dict[str, Any], share: float | None, lease_s: float) -> None:
    """Keeps where the step is and renews the lease. Raises LeaseLost."""
    await _fenced(connection, "store_step", step, json.dumps(state), share, lease_s)
    step.state = state


async def show(connection: Connection, step: Step, share: float | None, lease_s: float) -> None:
    """Shows how far a running statement is and renews the lease. Raises LeaseLost."""
    await _fenced(connection, "show_share", step, share, lease_s)


async def hold(connection: Connection, step: Step, reason: str | None, lease_s: float) -> None:
    """Says why nothing happens and renews the lease. Raises LeaseLost."""
    await _fenced(connection, "hold_step", step, reason, lease_s)


async def end(connection: Connection, step: Step) -> None:
    """The step is done. Raises LeaseLost."""
    await _fenced(connection, "end_step", step)


async def skip(connection: Connection, step: Step) -> None:
    """The step could not be done and need not be. Raises LeaseLost."""
    await _fenced(connection, "skip_step", step)


async def fail(connection: Connection, step: Step) -> None:
    """The step has failed, and the job with it. Raises LeaseLost."""
    await _fenced(connection, "fail_step", step)


async def release(connection: Connection, step: Step) -> None:
    """Gives the step back before its lease ends; nothing happens where somebody else has it."""
    await connection.fetchval(_sql("release_step"), step.id, step.epoch, step.token)


async def repair(connection: Connection, step: Step, spans: Sequence[Walked]) -> None:
    """Lets the job walk these parts of the table again. Raises LeaseLost."""
    async with connection.transaction():
        if await connection.fetchval(_sql("run_again"), step.job_id) is None:
            raise LeaseLost(f"job {step.job_id} is not being verified any more")
        await _fenced(connection, "begin_repair", step)
        for span in spans:
            await connection.execute(
                _sql("insert_repair"),
                step.job_id, span.relation, span.lower_key, span.lower_inclusive, span.upper_key, span.rows,
            )  # fmt: skip


async def walked(connection: Connection, job_id: int) -> list[Walked]:
    """What the job has walked, in order."""
    rows = await connection.fetch(_sql("walked_ranges"), job_id)
    return [
        Walked(
            row["ordinal"],
            row["relation"],
            tuple(row["lower_key"]) if row["lower_key"] is not None else None,
            row["lower_inclusive"],
            tuple(row["upper_key"]),
            row["rows"],
        )
        for row in rows
    ]


async def _fenced(connection: Connection, name: str, step: Step, *values: object) -> None:
    if await connection.fetchval(_sql(name), step.id, step.epoch, step.token, *values) is None:
        raise LeaseLost(f"step {step.ordinal} ({step.kind}) was taken over or its job has ended")


def _sql(name: str) -> str:
    return load("steps")[name]
