"""A user's query: `custom_sql`."""

from __future__ import annotations

import asyncpg

from pgbackfill.database.link import Link
from pgbackfill.settings_signals import CustomSql
from pgbackfill.worker.context import Context

from .probe import Unreadable, Value, Watched, watch

ROUND_TRIP_S = 1.0
"""The server's own time-out is given this head start, since it says more than ours."""


class CustomProbe:
    """On a connection of its own, where a slow query keeps nobody waiting. In a read-only transaction of its own."""

    def __init__(self, context: Context, signal: CustomSql, link: Link) -> None:
        self._context = context
        self._signal = signal
        self._link = link

    async def run(self) -> None:
        """Until cancelled."""
        signal = self._signal
        watched = Watched(signal.name, signal.unit, signal.soft, signal.hard, signal.interval_s)
        try:
            await watch(self._context, watched, self._read)
        finally:
            await self._link.close()

    async def _read(self) -> Value:
        timeout_s = self._signal.timeout_s
        async with self._link.use() as connection, connection.transaction(readonly=True):
            await connection.execute(f"SET LOCAL statement_timeout = {round(timeout_s * 1000)}")
            sql = f"/* pgbackfill signal={self._signal.name} */ {self._signal.sql}"
            # By the extended protocol, which refuses a second command.
            rows = await connection.fetch(sql, timeout=timeout_s + ROUND_TRIP_S)
        if len(rows) != 1 or len(rows[0]) not in (1, 2):
            raise Unreadable(
                f"The query answers {_shape(rows)}; let it answer one row: a number, and a text if you like."
            )
        value, *detail = rows[0]
        try:
            return (None if value is None else float(value)), str(detail[0] or "") if detail else ""
        except (TypeError, ValueError) as error:
            raise Unreadable(f"The query answers a {type(value).__name__}; let it answer a number.") from error


def _shape(rows: list[asyncpg.Record]) -> str:
    if len(rows) != 1:
        return f"{len(rows)} rows"
    return f"{len(rows[0])} columns"
