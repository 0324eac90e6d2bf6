"""A named query with two thresholds."""

from __future__ import annotations

from typing import Any

import asyncpg

from pgbackfill.database.link import Link
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.settings_signals import Threshold
from pgbackfill.worker.context import Context

from .increase import Increase
from .probe import Absent, Value, Watched, watch
from .sources import Source

TIMEOUT_S = 2.0
"""These queries take a millisecond. One that takes so long is given up, and the next has its turn."""


class ThresholdProbe:
    """One built-in signal. They share a connection, which nobody else waits for."""

    def __init__(self, context: Context, source: Source, settings: Threshold, link: Link) -> None:
        self._context = context
        self._source = source
        self._link = link
        self._watched = Watched(
            source.name, source.unit, settings.soft, settings.hard, settings.interval_s, source.slowest
        )
        self._increase = Increase(source.window_s) if source.window_s is not None else None

    async def run(self) -> None:
        """Until cancelled."""
        await watch(self._context, self._watched, self._read)

    async def _read(self) -> Value:
        async with self._link.use() as connection:
            if self._source.needs_stats:
                await self._demand_stats(connection)
            row = await self._row(connection)
        if row is None:
            return 0.0, ""
        value, detail = row["value"], row["detail"] or ""
        if self._increase is not None and value is not None:
            value = self._increase.value(value, now=self._context.now())
        return value, detail

    async def _row(self, connection: Connection) -> asyncpg.Record | None:
        source = self._source
        old = source.before_17 is not None and connection.get_server_version().major < 17
        name = source.before_17 if old and source.before_17 else source.name
        try:
            return await self._fetch(connection, name)
        except asyncpg.InsufficientPrivilegeError as error:
            if source.without_right is not None:
                return await self._fetch(connection, source.without_right)
            raise Absent(f"Not permitted ({error}); {await grant(connection)}") from error
        except (asyncpg.UndefinedFunctionError, asyncpg.FeatureNotSupportedError, asyncpg.UndefinedTableError) as error:
            raise Absent(f"This server cannot tell: {error}.") from error

    async def _fetch(self, connection: Connection, name: str) -> asyncpg.Record | None:
        return await connection.fetchrow(load("thresholds")[name], *self._arguments(), timeout=TIMEOUT_S)

    def _arguments(self) -> tuple[Any, ...]:
        if self._source.takes == "ignored_slots":
            return (list(self._context.settings.ignored_slots),)
        if self._source.takes == "walked":
            return (sorted(job.relation for job in self._context.jobs.values()),)
        return ()

    async def _demand_stats(self, connection: Connection) -> None:
        if not await connection.fetchval(load("signals")["may_monitor"], timeout=TIMEOUT_S):
            raise Absent(f"What other sessions do cannot be seen; {await grant(connection)}")


async def grant(connection: Connection) -> str:
    """The command that would help."""
    return f"GRANT pg_monitor TO {await connection.fetchval('SELECT quote_ident(current_user)', timeout=TIMEOUT_S)}"
