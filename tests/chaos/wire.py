"""A TCP proxy before Postgres that reads along: it freezes, cuts, and strikes at a chosen statement of a chunk."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

HOST = "127.0.0.1"
CHUNK_BEGINS = "BEGIN ISOLATION LEVEL"

# What a request is called in a report, by what its SQL holds.
NAMES = (
    ("BEGIN ISOLATION", "begin"),
    ("begin_chunk(", "claim"),
    ("end_chunk(", "store"),
    ("EXPLAIN (ANALYZE", "change"),
    ("EXPLAIN", "plan"),
    ("FOR NO KEY UPDATE", "lock"),
    ("SET LOCAL", "unsteer"),
    ("COMMIT", "commit"),
)


def name_of(sql: str) -> str:
    """The statement of a chunk that this is."""
    return next((name for part, name in NAMES if part in sql), "find")


class Requests:
    """Cuts what a client sends into requests: everything up to a Query or a Sync, after which it waits for an answer.

    Pure. Answers the bytes and the SQL, as far as the request has any.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._request = b""
        self._sql = ""
        self._started = False
        self._prepared: dict[bytes, str] = {}

    def feed(self, data: bytes) -> Iterator[tuple[bytes, str]]:
        self._rest += data
        while (message := self._message()) is not None:
            self._request += message
            if not self._started:
                self._started = struct.unpack("!i", message[4:8])[0] == 196_608  # else a question for TLS
                yield self._done()
                continue
            self._read(message)
            if message[:1] in b"QSHXpd":  # H, flush, and p, a password, end no statement but wait for an answer, too
                yield self._done()

    def _message(self) -> bytes | None:
        head = 1 if self._started else 0
        if len(self._rest) < head + 4:
            return None
        length = head + int(struct.unpack("!i", self._rest[head : head + 4])[0])
        if len(self._rest) < length:
            return None
        message, self._rest = self._rest[:length], self._rest[length:]
        return message

    def _read(self, message: bytes) -> None:
        kind, body = message[:1], message[5:]
        if kind == b"Q":
            self._sql = body[:-1].decode()
        elif kind == b"P":
            name, sql, _ = body.split(b"\0", 2)
            self._sql = self._prepared[name] = sql.decode()
        elif kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            self._sql = self._prepared.get(name, "")

    def _done(self) -> tuple[bytes, str]:
        done = self._request, self._sql
        self._request, self._sql = b"", ""
        return done


def answered(data: bytes) -> bool:
    """Whether an answer, read from its beginning, has come to its end: ReadyForQuery."""
    position = 0
    while position + 5 <= len(data):
        if data[position : position + 1] == b"Z":
            return True
        position += 1 + int(struct.unpack("!i", data[position + 1 : position + 5])[0])
    return False


@dataclass(slots=True)
class Trap:
    """Strikes at the `request`-th request of a chunk, at its COMMIT at the latest, once `chunks` have begun.

    `after`: the request reaches the server, which answers, and the answer is lost. Else the request is lost. Then
    `act` is called and the connection ends. `struck` says at which statement.
    """

    chunks: int
    request: int
    after: bool
    act: Callable[[], None] = lambda: None
    struck: str | None = None


class Wire:
    """Forwards connections on `port` to the server at `target`, which may change; while it is None, none is taken."""

    def __init__(self, target: int | None) -> None:
        self.target = target
        self.port = 0
        self.trap: Trap | None = None
        self.struck = asyncio.Event()
        self.chunks = 0
        self._conversations: set[_Conversation] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Wire]:
        """Listens; at the end every connection is cut."""
        server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks)

    def set(self, trap: Trap) -> None:
        """From the next chunk on."""
        self.trap, self.chunks = trap, 0
        self.struck.clear()

    def freeze(self) -> None:
        """Forwards nothing more and closes nothing: everybody believes in the connection. New ones hang likewise."""
        self._open.clear()

    def thaw(self) -> None:
        """What was held back arrives late."""
        self._open.set()

    def forget(self) -> None:
        """Connections of now stay frozen for ever; new ones get through."""
        for conversation in self._conversations:
            conversation.open = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    def cut(self) -> None:
        """Ends every connection on both sides."""
        for conversation in tuple(self._conversations):
            conversation.end()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._talk(reader, writer)
        except asyncio.CancelledError:  # only at the end; asyncio's own callback would complain of it
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gate = self._open
        await gate.wait()
        if self.target is None:
            writer.transport.abort()
            return
        try:
            server = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        conversation = _Conversation(self, (reader, writer), server, gate)
        self._conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            conversation.end()
            self._conversations.discard(conversation)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Conversation:
    """One client and its backend."""

    def __init__(self, wire: Wire, client: Stream, server: Stream, gate: asyncio.Event) -> None:
        self.open = gate
        self._wire = wire
        self._client = client
        self._server = server
        self._at: int | None = None
        """The number of the last request of the open chunk."""
        self._kept: bytes | None = None
        """The answer that is kept from the client."""
        self._answered = asyncio.Event()

    def end(self) -> None:
        self._client[1].transport.abort()
        self._server[1].transport.abort()

    async def run(self) -> None:
        back = asyncio.create_task(self._answers())
        try:
            requests = Requests()
            while data := await self._client[0].read(65536):
                for request, sql in requests.feed(data):
                    await self.open.wait()
                    trap = self._wire.trap
                    if trap is not None and trap.struck is None and self._strikes(trap, sql):
                        await self._strike(trap, request, sql)
                        return
                    self._server[1].write(request)
                    await self._server[1].drain()
        except ConnectionError:
            pass
        finally:
            back.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await back

    def _strikes(self, trap: Trap, sql: str) -> bool:
        if sql.startswith(CHUNK_BEGINS):
            self._at = 0
            self._wire.chunks += 1
        elif self._at is not None and sql:
            self._at += 1
        if self._at is None or not sql:
            return False
        last = re.fullmatch("COMMIT|ROLLBACK;?", sql) is not None
        strikes = self._wire.chunks > trap.chunks and (self._at == trap.request or sql == "COMMIT")
        if last:
            self._at = None
        return strikes

    async def _strike(self, trap: Trap, request: bytes, sql: str) -> None:
        trap.struck = name_of(sql)
        if trap.after:
            self._kept = b""
            self._server[1].write(request)
            with contextlib.suppress(TimeoutError):  # a statement that only prepares is not answered so
                async with asyncio.timeout(5):
                    await self._answered.wait()
        trap.act()
        self.end()
        self._wire.struck.set()

    async def _answers(self) -> None:
        try:
            while data := await self._server[0].read(65536):
                await self.open.wait()
                if self._kept is not None:
                    self._kept += data
                    if answered(self._kept):
                        self._answered.set()
                    continue
                self._client[1].write(data)
                await self._client[1].drain()
        except ConnectionError:
            pass
        self._answered.set()
        self._client[1].close()
