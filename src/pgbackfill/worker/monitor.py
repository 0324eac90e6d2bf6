"""Polls the signals that the pace is steered by, and shows them."""

from __future__ import annotations

from math import inf
from typing import Final

import asyncpg
import structlog

from pgbackfill.control.signals import SignalStatus
from pgbackfill.database.link import Link, lost
from pgbackfill.database.queries import load

from .context import Context

log = structlog.get_logger()

REPLICA_POLL_S: Final = 0.1
"""The sampling interval for which the standing-queue target was measured; one poll costs 0.04 to 0.25 ms."""


class Monitor:
    """One per daemon, on a connection of its own: a slow chunk must not delay a look at the replicas."""

    def __init__(self, context: Context, link: Link) -> None:
        self._context = context
        self._link = link
        self._failing = False
        self._told_rights = False

    async def run(self) -> None:
        """Until cancelled. A poll that fails leaves every signal to grow old, and old is unknown."""
        self._context.governor.expect(self._context.settings.expected_replicas, now=self._context.now())
        while True:
            try:
                await self._poll()
                if self._failing:
                    log.info("signals readable again")
                self._failing = False
            except Exception as error:
                if not (lost(error) or isinstance(error, asyncpg.PostgresError)):
                    raise
                if not self._failing:
                    log.warning("signals unreadable", error=str(error))
                self._failing = True
            self._show()
            await self._context.bell.wait(REPLICA_POLL_S)

    async def _poll(self) -> None:
        sql, governor = load("signals"), self._context.governor
        async with self._link.use() as connection:
            primary = await connection.fetchrow(sql["primary"])
            replicas = await connection.fetch(sql["replicas"])
            if not self._told_rights and any(row["state"] is None for row in replicas):
                self._told_rights = True
                if not await connection.fetchval(sql["may_monitor"]):
                    log.warning(
                        "replication cannot be seen",
                        hint=f"GRANT pg_monitor TO {await connection.fetchval('SELECT quote_ident(current_user)')}",
                    )
        now = self._context.now()
        assert primary is not None, "a SELECT without FROM answers a row"
        governor.observe_wal(primary["lsn"], primary["timeline"], now=now)
        for row in replicas:
            governor.observe_replica(
                row["name"], replay_lsn=row["replay_lsn"], state=row["state"], now=now, interval=REPLICA_POLL_S
            )

    def _show(self) -> None:
        context = self._context
        now = context.now()
        # Several replicas are one signal each; a gauge without a replica label has to show the worst of them.
        worst: dict[str, SignalStatus] = {}
        for signal in context.governor.signals(now):
            if signal.name not in worst or _badness(signal) > _badness(worst[signal.name]):
                worst[signal.name] = signal
        for signal in worst.values():
            context.metrics.signal(signal.name, signal.value, signal.soft, signal.hard, signal.age_s)
        for replica in context.governor.replicas(now):
            context.metrics.replica(replica.name, replica.lag_s, replica.backlog_bytes)
        context.metrics.pace(context.governor.pace(context.settings.pacing, now=now), context.governor.capacity)


def _badness(signal: SignalStatus) -> float:
    return inf if signal.value is None else signal.value
