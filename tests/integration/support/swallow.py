"""A proxy before Postgres that loses the answer to a COMMIT, or the COMMIT itself, and the connection with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

COMMIT = b"COMMIT\x00"


class Swallow:
    """Every `every`-th COMMIT is in doubt. `answers`: it reaches the server and its answer is lost; else it is lost."""

    def __init__(self, dsn: str, *, every: int, answers: bool) -> None:
        self.lost = 0
        self._parts = urlsplit(dsn)
        self._every = every
        self._answers = answers
        self._seen = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The DSN that leads through the proxy."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        try:
            yield urlunsplit((self._parts.scheme, f"{user}@127.0.0.1:{port}", *self._parts[2:]))
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        back = asyncio.create_task(self._pump(up_reader, writer))
        try:
            while data := await reader.read(65536):
                if data.endswith(COMMIT) and self._in_doubt():
                    back.cancel()
                    if self._answers:
                        up_writer.write(data)
                        await up_reader.read(1)  # it has been committed; nobody will know
                    break
                up_writer.write(data)
                await up_writer.drain()
        except ConnectionError:
            pass
        finally:
            back.cancel()
            for each in (writer, up_writer):
                each.transport.abort()

    def _in_doubt(self) -> bool:
        self._seen += 1
        if self._seen % self._every:
            return False
        self.lost += 1
        return True

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        sink.close()
