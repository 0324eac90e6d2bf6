"""`shadow abort` and `shadow drop`: the ends of a shadow, before the cutover and after it."""

from __future__ import annotations

from pgbackfill.database.bounded import Patience, locked
from pgbackfill.database.catalog import rolled_back
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError

from .state import Shadow, Stage, find, locked_row, move, pair, sentences
from .swap import EVERYBODY_WAITS


async def abort(connection: Connection, shadow: Shadow, patience: Patience) -> Shadow:
    """Nothing of the shadow stays: the copy is cancelled, triggers and the new table go (a table that a person made
    stays). Raises UsageError after the cutover, LocksNotTaken."""
    if shadow.stage is Stage.ABORTED:
        return shadow
    if shadow.stage in (Stage.CUT_OVER, Stage.DROPPED):
        raise UsageError(
            f"{shadow.label} was cut over already"
            + ("; `pgbackfill shadow rollback` goes back first." if shadow.swapped else " and the old table dropped.")
        )
    if shadow.job_name is not None:
        await connection.execute(load("shadow")["cancel_job"], shadow.job_name)
    await _remove(connection, shadow, patience, Stage.ABORTED, drop=shadow.own_target)
    return await find(connection, shadow.name)


async def drop(connection: Connection, shadow: Shadow, patience: Patience) -> Shadow:
    """Drops the old table and what makes it follow: there is no way back any more. Raises as `abort` does."""
    if shadow.stage is Stage.DROPPED:
        return shadow
    if not shadow.swapped:
        raise UsageError(f"{shadow.label} has not been cut over; `pgbackfill shadow abort` removes the new table.")
    await _remove(connection, shadow, patience, Stage.DROPPED, drop=True)
    return await find(connection, shadow.name)


async def _remove(connection: Connection, shadow: Shadow, patience: Patience, stage: Stage, *, drop: bool) -> None:
    sql = load("shadow")
    async with rolled_back(connection):
        both = await pair(connection, shadow)
        referenced = await connection.fetch(sql["referenced"], shadow.follower) if drop else []
        wanted = [both.leader, both.follower, *(row["relation"] for row in referenced)]
        # Somebody may have dropped one of them by hand.
        tables = [name for name in wanted if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name)]

    async def remove() -> None:
        now = await locked_row(connection, shadow)
        for statement in both.unfollow():
            await connection.execute(statement)
        await connection.execute(f"DROP FUNCTION IF EXISTS {both.function}()")
        if drop:
            await connection.execute(f"DROP TABLE IF EXISTS {both.follower}")
        await move(connection, now, stage)

    async with sentences(f"Removing what follows {shadow.label}"):
        await locked(connection, tables, EVERYBODY_WAITS, remove, patience)
