"""A connection that is replaced when it breaks. Shared by tasks one at a time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf

import anyio
import asyncpg

from pgbackfill.errors import DatabaseUnavailable
from pgbackfill.jobs.failures import PASSING, Failure, classify

from .types import Connection

UNREACHABLE = (
    DatabaseUnavailable, OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.InternalClientError
)  # fmt: skip
"""What a user of a link meets when the server cannot be reached or went away; worth trying again later.

InternalClientError ("cannot switch to state …") is what asyncpg raises where the server's farewell crosses a new query:
3 of 30 times when a backend is terminated right before one.
"""

ANSWER_S = 15.0
"""The longest that one of pgbackfill's own statements may take. They are short and wait for no lock for long, so beyond
this the connection is dead, whatever TCP says of it: what is between us and the server (a pooler, a load balancer) may
answer for a server that no longer does. A dead peer that TCP can see is found out a little earlier."""


def lost(error: BaseException) -> bool:
    """Whether `error` means that the connection, not the statement, is the problem."""
    if isinstance(error, asyncpg.PostgresError):
        return classify(error.sqlstate) is Failure.DISCONNECTED
    return isinstance(error, UNREACHABLE)


def passing(error: BaseException) -> bool:
    """Whether `error` goes away by itself: a lost connection, but also a full disk, a lock, a time-out."""
    if isinstance(error, asyncpg.PostgresError):
        return classify(error.sqlstate) in PASSING
    return isinstance(error, UNREACHABLE)


BACKOFF_FIRST_S = 0.25
BACKOFF_MOST_S = 5.0
"""Doubling between these, half of it left to chance, so that the daemons of a fleet do not return in step. Some users
of a link ask ten times a second, which a server that is out of connections must not feel; and nobody waits for long
after it is back."""


class Link:
    """Opens its connection when first used and again after it broke; a caller that fails simply tries again.

    Whoever tries while the next attempt is not due meets the failure of the last one.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self.connect = connect
        self._connection: Connection | None = None
        self._lock = anyio.Lock()
        self.generation = 0
        """Counts connections: what was prepared for an earlier one is of no more use."""
        self._failure: DatabaseUnavailable | None = None
        self._backoff_s = 0.0
        self._not_before = -inf

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """The connection, outside any transaction. Raises what `connect` raises."""
        async with self._lock:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect_again()
                self.generation += 1
            connection = self._connection
            try:
                yield connection
            except BaseException as error:
                # A cancelled or broken query leaves a connection in a state that nobody can vouch for.
                if not isinstance(error, Exception):
                    # Politely: asyncpg's request to cancel the query on the server goes out before the farewell.
                    await self.close()
                elif lost(error) or connection.is_in_transaction():
                    self._drop()
                raise

    def retry_now(self) -> None:
        """Somebody else has found the server in order: the next attempt is due."""
        self._not_before = -inf

    async def _connect_again(self) -> Connection:
        if self._failure is not None and anyio.current_time() < self._not_before:
            raise DatabaseUnavailable(str(self._failure), brief=self._failure.brief, full=self._failure.full)
        try:
            connection = await self.connect()
        except DatabaseUnavailable as error:
            self._failure = error
            self._backoff_s = min(max(BACKOFF_FIRST_S, 2 * self._backoff_s), BACKOFF_MOST_S)
            self._not_before = anyio.current_time() + random.uniform(self._backoff_s / 2, self._backoff_s)
            raise
        self._failure, self._backoff_s = None, 0.0
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Close politely, or at once if the server does not answer."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await connection.close()
            connection.terminate()
