"""A replica that is asked directly: `PGBACKFILL_REPLICA_DSNS`."""

from __future__ import annotations

import anyio
import asyncpg
import structlog

from pgbackfill.database.dsn import parse
from pgbackfill.database.link import Link, lost
from pgbackfill.database.queries import load
from pgbackfill.errors import PgbackfillError
from pgbackfill.worker.context import Context

log = structlog.get_logger()

POLL_S = 0.2
"""Twice the primary's: as often as the pace can make use of, over a network path that may be longer."""

RETRY_S = 1.0
"""One that does not answer is not asked at every poll: each time it would be a new connection."""

TIMEOUT_S = 2.0


class Refused(PgbackfillError):
    """Something answers, but it is no replica of this primary."""


class Standby:
    """One per DSN, on a connection of its own. Unknown until it has answered, and whenever it does not.

    It has the name under which it streams from the primary, so that a replica seen both ways is one; the DSN wins.
    One that does not stream from the primary (cascaded, or fed by the archive) has its cluster_name, else its address.
    """

    def __init__(self, context: Context, dsn: str, link: Link) -> None:
        self._context = context
        self._link = link
        target = parse(dsn)
        self._place = ",".join(f"{host}:{port}" for host, port in target.hosts)
        self.name = self._place
        self._told_delay = False

    async def run(self) -> None:
        """Until cancelled; then the primary's word counts again."""
        context = self._context
        context.topology.asked.add(self.name)
        context.governor.observe_replica(self.name, replay_lsn=None, state=None, now=context.now(), interval=POLL_S)
        try:
            while not context.topology.known:
                await context.bell.wait(POLL_S)
            while True:
                answered = await self._poll()
                await anyio.sleep(POLL_S if answered else RETRY_S)
        finally:
            context.topology.asked.discard(self.name)
            context.governor.forget(self.name)
            context.notes.clear("replica_lag", self.name)
            await self._link.close()

    async def _poll(self) -> bool:
        """Whether it answered."""
        context = self._context
        try:
            async with self._link.use() as connection:
                row = await connection.fetchrow(load("signals")["standby"], timeout=TIMEOUT_S)
                assert row is not None, "a SELECT from one row answers one"
                self._verify(row)
                beat_lag_s = None
                if row["has_heartbeat"]:
                    seen = await connection.fetchval(load("workers")["beat_of"], context.worker_id, timeout=TIMEOUT_S)
                    beat_lag_s = context.beats.lag(seen, now=context.now())
        except Exception as error:
            if not (isinstance(error, PgbackfillError | asyncpg.PostgresError) or lost(error)):
                raise
            self._unknown(error)
            return False
        self._rename(row)
        delayed = self._is_delayed(row)
        context.notes.clear("replica_lag", self.name)
        context.governor.observe_replica(
            self.name, replay_lsn=row["flush_lsn"] if delayed else row["replay_lsn"], state=row["state"],
            lag_s=None if delayed else beat_lag_s, now=context.now(), interval=POLL_S,
        )  # fmt: skip
        return True

    def _verify(self, row: asyncpg.Record) -> None:
        ours, theirs = self._context.topology.system_identifier, row["system_identifier"]
        if ours is None:
            raise Refused(f"The primary does not tell its system identifier, so {self._place} may be of any cluster.")
        if theirs != ours:
            raise Refused(
                f"{self._place} belongs to another cluster (system identifier {theirs}, not the primary's {ours}); "
                "give PGBACKFILL_REPLICA_DSNS a standby of this primary."
            )
        if not row["in_recovery"]:
            raise Refused(f"{self._place} is not a standby; take it out of PGBACKFILL_REPLICA_DSNS.")

    def _unknown(self, error: Exception) -> None:
        context = self._context
        said = str(error) or "no answer in time"
        what = said if isinstance(error, PgbackfillError) else f"{self._place} cannot be asked: {said}"
        context.notes.tell("replica_lag", what, about=self.name)
        context.governor.observe_replica(self.name, replay_lsn=None, state=None, now=context.now(), interval=POLL_S)

    def _rename(self, row: asyncpg.Record) -> None:
        """Take the name under which the primary knows it, once it does."""
        context = self._context
        name = context.topology.name_of(
            slot=row["slot"], application_name=row["application_name"] or row["cluster_name"] or None,
            address=row["address"],
        )  # fmt: skip
        name = name or (self.name if self.name != self._place else row["cluster_name"] or self._place)
        if name == self.name or name in context.topology.asked:
            return
        context.notes.clear("replica_lag", self.name)
        context.governor.forget(self.name)
        context.topology.asked.discard(self.name)
        context.topology.asked.add(name)
        self.name = name

    def _is_delayed(self, row: asyncpg.Record) -> bool:
        listed = {self.name, self._place, row["application_name"], row["slot"], row["cluster_name"]}
        if listed & set(self._context.settings.delayed_replicas):
            return True
        if row["apply_delay_ms"] and not self._told_delay:
            self._told_delay = True
            log.warning(
                "replica replays late on purpose",
                replica=self.name,
                hint=f"PGBACKFILL_DELAYED_REPLICAS={self.name} judges it by what it has received",
            )
        return False
