"""What a command would do: done, looked at, and rolled back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .types import Connection

LOCK_TIMEOUT = "2s"
"""Longest wait for a job that somebody has locked."""


@asynccontextmanager
async def nothing_kept(connection: Connection) -> AsyncIterator[None]:
    """A transaction of which nothing stays and about which nobody is notified, since NOTIFY is sent at COMMIT.

    What it holds locked is free again in the next moment, so it is for the commands of people, never for table rows.
    """
    transaction = connection.transaction()  # what is begun within it becomes a savepoint
    await transaction.start()
    try:
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        yield
    finally:
        if not connection.is_closed():
            await transaction.rollback()


@asynccontextmanager
async def kept_unless(dry_run: bool, connection: Connection) -> AsyncIterator[None]:
    """As `nothing_kept` for a dry run, else as if it were not there."""
    if dry_run:
        async with nothing_kept(connection):
            yield
    else:
        yield
