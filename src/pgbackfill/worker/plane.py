"""What HTTP may see of the daemon and do to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import asyncpg

from pgbackfill.database.link import Link, lost
from pgbackfill.database.migrate import check_schema
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.errors import DatabaseUnavailable, UsageError

from .context import Context


class Plane:
    """On a connection of its own, so that a pause does not wait behind whatever the roster is doing."""

    def __init__(self, context: Context, link: Link) -> None:
        self._context = context
        self._link = link
        self.metrics = context.metrics

    async def jobs(self) -> Sequence[Mapping[str, Any]]:
        """The rows of `pgbackfill.progress`."""
        async with self._database() as connection:
            return [dict(row) for row in await connection.fetch(load("views")["progress"], None)]

    async def job(self, name: str) -> Mapping[str, Any] | None:
        """One job with its error, ranges and latest events; None where there is no such job."""
        sql = load("views")
        async with self._database() as connection:
            row = await connection.fetchrow(sql["progress"], name)
            if row is None:
                return None
            events = [dict(event) for event in await connection.fetch(sql["events_of"], name)]
            return dict(row) | {
                "error": await connection.fetchval(sql["error_of"], name),
                "ranges": [dict(each) for each in await connection.fetch(sql["ranges_of"], name)],
                "events": [event | {"detail": json.loads(event["detail"])} for event in events],
            }

    async def command(self, name: str, action: str) -> Mapping[str, Any]:
        """Calls `pgbackfill.<action>(name)`. Raises LookupError for an unknown job, UsageError where it cannot."""
        if action not in ("pause", "resume", "cancel", "retry"):
            raise UsageError(f"there is no action {action!r}; there are pause, resume, cancel and retry")
        async with self._database() as connection:
            try:
                await connection.execute(f"SELECT pgbackfill.{action}($1)", name)
            except asyncpg.NoDataFoundError as error:
                raise LookupError(name) from error
            except asyncpg.PostgresError as error:
                if lost(error):
                    raise
                raise UsageError(error.args[0] if error.args else str(error)) from error
            row = await connection.fetchrow(load("views")["progress"], name)
        if row is None:
            raise LookupError(name)
        return dict(row)

    def signals(self) -> Sequence[Mapping[str, Any]]:
        """Every signal with value, limits, age and level."""
        return [asdict(signal) for signal in self._context.governor.signals(self._context.now())]

    def pause(self, holder: str) -> bool:
        return self._context.pauses.pause(holder)

    def resume(self, holder: str) -> bool:
        return self._context.pauses.resume(holder)

    def paused_by(self) -> Sequence[str]:
        return self._context.pauses.holders

    async def readiness(self) -> str | None:
        """None when the database is reachable and its schema current, else why not."""
        try:
            async with self._database() as connection:
                await check_schema(connection)
        except DatabaseUnavailable as error:
            return str(error)
        return None

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Connection]:
        try:
            async with self._link.use() as connection:
                yield connection
        except Exception as error:
            if isinstance(error, DatabaseUnavailable) or not lost(error):
                raise
            raise DatabaseUnavailable(f"the database is not reachable: {error}") from error
