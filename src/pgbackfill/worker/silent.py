"""Ends the backends of daemons that fell silent inside a transaction: a frozen process, a network that lost its end."""

from __future__ import annotations

import structlog

from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.keyset.session import IDLE_IN_TRANSACTION_MS

log = structlog.get_logger()


async def end_silent(connection: Connection, *, lease_s: float) -> None:
    """Those of the connection's own login, which is all that it may see and end, once they were silent for a lease."""
    silent_s = min(IDLE_IN_TRANSACTION_MS / 1000, lease_s)
    for row in await connection.fetch(load("waiters")["end_silent"], silent_s):
        log.warning("silent backend ended", pid=row["pid"], purpose=row["application_name"])
