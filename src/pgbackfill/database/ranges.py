"""Claims and leases of ranges."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from pgbackfill.jobs.job import Claim

from .link import ANSWER_S
from .queries import load
from .types import Connection


def _sql(name: str) -> str:
    return load("ranges")[name]


@dataclass(frozen=True, slots=True)
class OpenRanges:
    """Of one running job: ranges that nobody holds, and ranges that a live lane of some daemon holds."""

    free: int
    held: int


async def open_ranges(connection: Connection) -> dict[int, OpenRanges]:
    """By job id, of the jobs that have an open range."""
    rows = await connection.fetch(_sql("open_ranges"))
    return {row["id"]: OpenRanges(row["free"], row["held"]) for row in rows}


async def claim(
    connection: Connection, job_id: int, *, worker_id: int, lease_s: float, own: Iterable[int] = ()
) -> Claim | None:
    """Takes the next range of a job, none of its `own` ids; None where there is none to take."""
    token = secrets.token_bytes(16)
    row = await connection.fetchrow(_sql("claim_range"), job_id, token, worker_id, lease_s, [str(each) for each in own])
    if row is None:
        return None
    ahead = await connection.fetch(_sql("milestones_ahead"), row["id"])
    return Claim(
        range_id=row["id"],
        job_id=row["job_id"],
        ordinal=row["ordinal"],
        relation=row["relation"],
        epoch=row["epoch"],
        token=token,
        lower_key=tuple(row["lower_key"]) if row["lower_key"] is not None else None,
        lower_inclusive=row["lower_inclusive"],
        upper_key=tuple(row["upper_key"]),
        retry=row["retry"],
        milestones=tuple(tuple(milestone["key"]) for milestone in ahead),
    )


async def release(connection: Connection, claim: Claim) -> bool:
    """Gives the range back at once; False where somebody else has it."""
    return await _fenced(connection, "release_range", claim)


async def skip(connection: Connection, claim: Claim) -> bool:
    """Closes a range whose table has left the walked table."""
    return await _fenced(connection, "skip_range", claim)


async def renew(connection: Connection, claim: Claim, *, lease_s: float) -> bool:
    """Keeps the lease while nothing runs; False where somebody else has the range."""
    return await _fenced(connection, "renew_lease", claim, lease_s)


async def show_hold(connection: Connection, claim: Claim, reason: str | None, *, lease_s: float) -> bool:
    """Says in the progress view why nothing runs (None: it runs again) and keeps the lease."""
    return await _fenced(connection, "set_hold", claim, reason, lease_s)


async def _fenced(connection: Connection, name: str, claim: Claim, *values: object) -> bool:
    # On a connection that otherwise runs people's SQL, and has no limit of its own.
    found = await connection.fetchval(_sql(name), claim.range_id, claim.epoch, claim.token, *values, timeout=ANSWER_S)
    return found is not None
