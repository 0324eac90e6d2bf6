"""Runs the application in a task group: own socket, no signal handlers, stopped by cancellation."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import anyio
import uvicorn
from anyio.abc import TaskStatus
from h11 import LocalProtocolError
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pgbackfill.errors import UsageError
from pgbackfill.logs import get_logger
from pgbackfill.settings import HttpSettings

log = get_logger()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: they would receive every signal beside the daemon's own receiver."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = anyio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


class _Protocol(H11Protocol):
    """uvicorn's, but for its answer to what is no HTTP: where that fits no more, asyncio would log it as an error."""

    def send_400_response(self, msg: str) -> None:
        try:
            super().send_400_response(msg)
        except LocalProtocolError:
            self.transport.close()


async def serve(
    app: ASGIApp, settings: HttpSettings, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Answers requests until it is cancelled; `task_status` gets the port once it listens.

    For `port = await group.start(serve, app, settings)`. Raises UsageError where the address cannot be bound.
    """
    sockets = bind(settings.host, settings.port)
    port = sockets[0].getsockname()[1]
    config = uvicorn.Config(
        app,
        http=_Protocol,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=100,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_run, server, sockets)
            try:
                await server.up.wait()
                log.info("http listens", host=settings.host, port=port)
                task_status.started(port)
                await anyio.sleep_forever()
            finally:
                server.should_exit = True
    finally:
        for each in sockets:
            each.close()


async def _run(server: _Server, sockets: list[socket.socket]) -> None:
    # Cancelled in the middle, uvicorn would leave its connections open; it looks at should_exit every 0.1 s.
    with anyio.CancelScope(shield=True):
        await server.serve(sockets)


def bind(host: str, port: int) -> list[socket.socket]:
    """One listening socket for each address of `host`, all on the same port. UsageError says what to do."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise UsageError(f"PGBACKFILL_HTTP__HOST {host!r} has no address; give an address of this machine.") from None
    sockets: list[socket.socket] = []
    unusable: OSError | None = None
    for family, _, _, _, address in found:
        place: tuple[Any, ...] = (address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:])
        try:
            sockets.append(_listen(family, place))
        except OSError as error:
            unusable = error
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break
    if sockets and (unusable is None or unusable.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)):
        return sockets  # `localhost` has an IPv6 address even where IPv6 is off
    for each in sockets:
        each.close()
    raise UsageError(_why(host, port, unusable)) from None


def _listen(family: int, place: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(place)
        listener.listen(128)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _why(host: str, port: int, error: OSError | None) -> str:
    where = f"{host}:{port}"
    match error.errno if error else None:
        case errno.EADDRINUSE:
            return f"{where} is in use by another process; set PGBACKFILL_HTTP__PORT to a free port, or 0 for any."
        case errno.EACCES:
            return f"This user may not listen on {where}; set PGBACKFILL_HTTP__PORT to a port above 1023."
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine; set PGBACKFILL_HTTP__HOST to one, or 0.0.0.0 for all."
        case _:
            return f"Cannot listen on {where} ({error}); set PGBACKFILL_HTTP__HOST and PGBACKFILL_HTTP__PORT."
