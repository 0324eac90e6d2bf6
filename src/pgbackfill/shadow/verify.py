"""Compares both tables range by range: rows and checksums, each range in one snapshot, so that traffic is no matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from pgbackfill.database.catalog import rolled_back
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError
from pgbackfill.keyset import session
from pgbackfill.keyset.key import KeyText, Lower

from .state import Shadow, Stage, pair, sentences

ROWS_FIRST: Final = 1_000
ROWS_MOST: Final = 200_000
TARGET_S: Final = 0.2
"""Of one range, which pins a snapshot for so long."""
KEYS_SHOWN: Final = 10


@dataclass(slots=True)
class Comparison:
    """`different` holds the first keys that differ, as text; `rows` are the leader's."""

    rows: int = 0
    follower_rows: int = 0
    ranges: int = 0
    different: list[list[str]] = field(default_factory=list)
    ranges_different: int = 0

    @property
    def same(self) -> bool:
        return self.ranges_different == 0


async def copied(connection: Connection, shadow: Shadow) -> None:
    """Raises UsageError unless the copy is complete."""
    if shadow.stage not in (Stage.COPYING, Stage.CUT_OVER):
        raise UsageError(f"The shadow {shadow.name} is {shadow.stage}; run `pgbackfill shadow create` again first.")
    job = await connection.fetchrow(load("shadow")["job"], shadow.job_name)
    if job is None:
        raise UsageError(f"The job {shadow.job_name} is gone, so nobody knows whether the copy is complete; abort it.")
    if job["status"] != "succeeded":
        raise UsageError(f"The copy is not complete: job {shadow.job_name} is {job['status']}.")
    if job["rows_quarantined"]:
        raise UsageError(
            f"{job['rows_quarantined']} rows could not be copied; see `pgbackfill quarantine list {shadow.job_name}`, "
            "correct them and retry."
        )


async def compare(connection: Connection, shadow: Shadow) -> Comparison:
    """Reads both tables once, by their keys, and notes the outcome. Raises UsageError before the copy is complete."""
    await copied(connection, shadow)
    async with rolled_back(connection):
        both = await pair(connection, shadow)
    found, rows = Comparison(), ROWS_FIRST
    lower: Lower | None = None
    settings = "; ".join(session.set_local({"row_security": "off", "TimeZone": "UTC", **session.KEY_TEXT}))
    async with sentences("The comparison"):
        while True:
            started = perf_counter()
            async with connection.transaction(isolation="read_committed", readonly=True):
                await connection.execute(f"{settings}; SET LOCAL search_path TO {both.search_path}")
                boundary = both.boundary(lower, rows)
                end = await connection.fetchrow(boundary.sql, *boundary.arguments)
                upper: KeyText | None = tuple(end) if end is not None else None
                statement = both.compare(lower, upper)
                row = await connection.fetchrow(statement.sql, *statement.arguments)
                assert row is not None, "aggregates answer a row"
                if not (row["same"] and row["leader_rows"] == row["follower_rows"]):
                    found.ranges_different += 1
                    differing = both.differences(lower, upper, KEYS_SHOWN)
                    keys = await connection.fetch(differing.sql, *differing.arguments)
                    found.different += [list(key["key"]) for key in keys][: KEYS_SHOWN - len(found.different)]
            found.rows += row["leader_rows"]
            found.follower_rows += row["follower_rows"]
            found.ranges += 1
            if upper is None:
                break
            lower = Lower(upper, inclusive=False)
            rows = _next_rows(rows, perf_counter() - started)
    await connection.execute(load("shadow")["set_verified"], shadow.id, found.same)
    return found


def _next_rows(rows: int, seconds: float) -> int:
    """Toward `TARGET_S`, at most doubling."""
    return max(1, min(ROWS_MOST, 2 * rows, round(rows * TARGET_S / max(seconds, 0.001))))
