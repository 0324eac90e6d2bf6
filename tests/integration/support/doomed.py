"""A command that is killed after its n-th statement, at whatever step that is, and run again until it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")


class Killed(Exception):
    """The process is gone; what the server got, it got."""


class Doomed(asyncpg.Connection):  # type: ignore[misc]
    """Dies when so many statements have been answered, a COMMIT of which nobody hears among them."""

    left = 1 << 30

    async def _counted(self, statement: Awaitable[T]) -> T:
        answer = await statement
        self.left -= 1
        if self.left == 0:
            self.terminate()
        if self.left <= 0:
            raise Killed
        return answer

    async def execute(self, *arguments: Any, **keywords: Any) -> Any:
        return await self._counted(super().execute(*arguments, **keywords))

    async def fetch(self, *arguments: Any, **keywords: Any) -> Any:
        return await self._counted(super().fetch(*arguments, **keywords))

    async def fetchrow(self, *arguments: Any, **keywords: Any) -> Any:
        return await self._counted(super().fetchrow(*arguments, **keywords))

    async def fetchval(self, *arguments: Any, **keywords: Any) -> Any:
        return await self._counted(super().fetchval(*arguments, **keywords))


async def survived(dsn: str, command: Callable[[Any], Awaitable[T]], statements: int) -> tuple[T, int]:
    """The answer of `command`, killed after so many statements (if it has so many) and then run again; and how many
    statements it had left to live when it was done, 0 where it was killed."""
    connection = await asyncpg.connect(dsn, connection_class=Doomed)
    connection.left = statements
    try:
        answer = await command(connection)
    except BaseException:
        if not connection.is_closed():  # whatever failed must not hold its locks against what comes next
            connection.terminate()
            raise
    else:
        left = connection.left
        connection.left = 1 << 30
        await connection.close()
        return answer, left
    again = await asyncpg.connect(dsn)
    try:
        return await command(again), 0
    finally:
        await again.close()
