"""What the primary says: where its WAL stands, and where the replicas that stream from it do."""

from __future__ import annotations

from math import inf

import asyncpg
import structlog

from pgbackfill.database.link import Link, lost
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.settings import Settings
from pgbackfill.worker.context import Context

from .expected import SLOTS_POLL_S, Expected, read_slots
from .names import Names, Walsender

log = structlog.get_logger()

POLL_S = 0.1
"""The sampling interval for which the standing-queue target was measured; one poll costs 0.04 to 0.25 ms."""

TIMEOUT_S = 2.0
"""A primary that does not answer for so long has made every replica unknown already."""


class Primary:
    """Polled by the monitor, on a connection of its own."""

    def __init__(self, context: Context, link: Link) -> None:
        self._context = context
        self._link = link
        self._names = Names()
        self._expected = Expected(context.governor, context.notes)
        self._configured: Settings | None = None
        self._generation = 0
        self._slots_at = -inf
        self._hidden = False

    async def poll(self) -> None:
        """One look. Raises what a lost connection raises."""
        context, sql = self._context, load("signals")
        slots = None
        async with self._link.use() as connection:
            if self._generation != self._link.generation:
                context.topology.system_identifier = await _system_identifier(connection)
                self._generation = self._link.generation
            primary = await self._wal(connection)
            rows = await connection.fetch(sql["replicas"], timeout=TIMEOUT_S)
            if context.now() - self._slots_at >= SLOTS_POLL_S:
                self._slots_at, slots = context.now(), await read_slots(connection)
            await self._check_rights(connection, [Walsender(**row) for row in rows])
        self._observe(primary, [Walsender(**row) for row in rows])
        if slots is not None:
            working = bool(context.jobs)
            self._expected.slots(slots, context.settings.ignored_slots, working=working, now=context.now())

    def _observe(self, primary: asyncpg.Record | None, senders: list[Walsender]) -> None:
        context, now = self._context, self._context.now()
        governor, settings = context.governor, context.settings
        if primary is not None:
            governor.observe_wal(primary["lsn"], primary["timeline"], now=now)
        named = self._names.assign(senders, settings.expected_replicas)
        for name in {replica.name for replica in governor.replicas(now)} & set(self._names.shared):
            governor.forget(name)
        context.topology.senders, context.topology.known = named, True
        self._expected.senders(named)
        if self._configured is not settings:  # at the start, and when the settings were read again
            self._configured = settings
            present = {*named, *context.topology.asked}
            self._expected.configure(settings.expected_replicas, present=present, now=now)
        for name, sender in named.items():
            if name in context.topology.asked:
                continue
            delayed = {name, sender.application_name, sender.slot} & set(settings.delayed_replicas)
            governor.observe_replica(
                name, replay_lsn=sender.flush_lsn if delayed else sender.replay_lsn, state=sender.state, now=now,
                interval=POLL_S,
            )  # fmt: skip

    async def _wal(self, connection: Connection) -> asyncpg.Record | None:
        """None where the server has no such functions; rows are paced then."""
        try:
            primary = await connection.fetchrow(load("signals")["primary"], timeout=TIMEOUT_S)
        except asyncpg.PostgresError as error:
            if lost(error):
                raise
            self._context.notes.tell("wal", f"The position of the WAL cannot be read: {error}", absent=True)
            return None
        self._context.notes.clear("wal")
        return primary

    async def _check_rights(self, connection: Connection, senders: list[Walsender]) -> None:
        hidden = any(sender.state is None for sender in senders)
        if hidden and not self._hidden and not await connection.fetchval(load("signals")["may_monitor"]):
            user = await connection.fetchval("SELECT quote_ident(current_user)")
            log.warning("replication cannot be seen", hint=f"GRANT pg_monitor TO {user}")
            self._context.notes.tell("replica_lag", f"Replication cannot be seen; GRANT pg_monitor TO {user}")
        if self._hidden and not hidden:
            self._context.notes.clear("replica_lag")
        self._hidden = hidden


async def _system_identifier(connection: Connection) -> int | None:
    try:
        found: int | None = await connection.fetchval(load("signals")["system_identifier"])
    except asyncpg.PostgresError as error:
        if lost(error):
            raise
        log.info("the cluster's identity cannot be read", error=str(error))
        return None
    return found
