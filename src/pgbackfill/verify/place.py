"""Where a pass reads: a replica that has everything that the job wrote, else the primary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import asyncpg
import structlog

from pgbackfill.database.link import UNREACHABLE, Link
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection

log = structlog.get_logger()

CATCH_UP_S = 5.0
"""A replica that is within its soft limits (1 s) is there long before; one that is not is left in peace."""

LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """`name` is what people are told: `primary`, or the replica's address."""

    name: str
    link: Link


async def choose(control: Connection, work: Link, replicas: Sequence[Place]) -> Place:
    """The first replica of this cluster that replays what is written so far within CATCH_UP_S; else the primary."""
    if not replicas:
        return Place("primary", work)
    try:
        written = await control.fetchval(load("steps")["wal_position"])
        ours = await control.fetchval(load("signals")["system_identifier"])
    except asyncpg.InsufficientPrivilegeError:  # then nobody can tell whose standby it is
        return Place("primary", work)
    deadline = anyio.current_time() + CATCH_UP_S
    waiting = list(replicas)
    unreachable: dict[str, str] = {}
    while waiting and anyio.current_time() < deadline:
        for replica in list(waiting):
            try:
                async with replica.link.use() as connection:
                    row = await connection.fetchrow(load("signals")["standby"])
            except UNREACHABLE as error:  # it may be about to come, or about to replay the database itself
                unreachable[replica.name] = str(error)
                continue
            except asyncpg.PostgresError as error:
                log.warning("replica not used for verification", replica=replica.name, reason=str(error))
                waiting.remove(replica)
                continue
            unreachable.pop(replica.name, None)
            assert row is not None, "a SELECT from one row answers one"
            if not row["in_recovery"] or row["system_identifier"] != ours:
                log.warning(
                    "replica not used for verification", replica=replica.name, reason="no standby of this primary"
                )
                waiting.remove(replica)
            elif row["replay_lsn"] is not None and row["replay_lsn"] >= written:
                return replica
        await anyio.sleep(LOOK_EVERY_S)
    for name, reason in unreachable.items():
        log.warning("replica not used for verification", replica=name, reason=reason)
    return Place("primary", work)
