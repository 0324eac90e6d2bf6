"""Finds out that the peer is dead before the lease does."""

from __future__ import annotations

import socket
from typing import Final

import asyncpg

from pgbackfill.database.dsn import Dsn

# A connection to a host that vanished must fail well before a lease of 30 s ends, so that this worker knows that it
# has lost its range before another one takes it: 5 s of silence, then three probes 3 s apart, 14 s in all; and
# unacknowledged data fails it as early. The system's defaults are two hours and about 15 minutes.
KEEPALIVE_IDLE_S: Final = 5
KEEPALIVE_INTERVAL_S: Final = 3
KEEPALIVE_COUNT: Final = 3
USER_TIMEOUT_MS: Final = 14_000


def apply(connection: asyncpg.Connection[asyncpg.Record], target: Dsn) -> None:
    """Sets keepalives and TCP_USER_TIMEOUT, with libpq's options of the DSN where given. Not on a Unix socket."""
    # asyncpg hands out no socket; the transport is where it has been since its first release.
    peer = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    if peer is None or peer.family not in (socket.AF_INET, socket.AF_INET6):
        return
    given = target.parameters
    if int(given.get("keepalives", 1)) != 0:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        _set(peer, "TCP_KEEPIDLE", int(given.get("keepalives_idle", 0)) or KEEPALIVE_IDLE_S)
        _set(peer, "TCP_KEEPINTVL", int(given.get("keepalives_interval", 0)) or KEEPALIVE_INTERVAL_S)
        _set(peer, "TCP_KEEPCNT", int(given.get("keepalives_count", 0)) or KEEPALIVE_COUNT)
    _set(peer, "TCP_USER_TIMEOUT", int(given.get("tcp_user_timeout", 0)) or USER_TIMEOUT_MS)


def _set(peer: socket.socket, name: str, value: int) -> None:
    option = getattr(socket, name, None)  # macOS has no TCP_USER_TIMEOUT
    if option is not None:
        peer.setsockopt(socket.IPPROTO_TCP, option, value)
