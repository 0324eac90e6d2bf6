"""Connections that end well when the demonstration is interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import asyncpg


@asynccontextmanager
async def connected(dsn: str, *, application_name: str = "demo") -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection for as long as the block lasts."""
    # Shielded: asyncpg leaves a future behind, which complains later, when it is cancelled while it connects.
    with anyio.CancelScope(shield=True):
        connection = await asyncpg.connect(dsn, server_settings={"application_name": application_name})
    try:
        yield connection
    finally:
        connection.terminate()
