"""A TCP proxy with an adjustable rate: the slow network between a primary and its standby."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream, TaskStatus

HOST = "127.0.0.1"
# What is forwarded at once: 10 ms of the rate, so that a change of rate is felt soon, within these bounds.
QUANTUM_S = 0.01
SMALLEST_BYTES = 512
LARGEST_BYTES = 65536
# Time that a late wake-up may catch up; more would be a burst after an idle phase.
CATCH_UP_S = 0.05


class Allowance:
    """When bytes may pass at a given rate. Pure: `now` in seconds comes in, a waiting time goes out."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def forget(self) -> None:
        """What passed at another rate no longer counts."""
        self._free_at = 0.0

    def wait_s(self, count: int, rate: float, *, now: float) -> float:
        """0 when `count` bytes may pass at `now`, which books them; otherwise when to ask again."""
        if self._free_at > now:
            return self._free_at - now
        self._free_at = max(self._free_at, now - CATCH_UP_S) + count / rate
        return 0.0


class Link:
    """Forwards connections to the server at `target_port`, at most `rate` bytes a second towards the client.

    The rate is shared by all connections: None is unlimited, 0 stops both directions without closing anything.
    `run` it in a task group; `rate`, `cut` and `mend` belong to the same event loop.
    """

    def __init__(self, target_port: int, *, rate: float | None = None, port: int = 0) -> None:
        self.target_port = target_port
        self.port = port
        self.bytes_forwarded = 0
        self._rate = rate
        self._changed = anyio.Event()
        self._allowance = Allowance()
        self._is_cut = False
        self._connections: set[anyio.CancelScope] = set()

    @property
    def rate(self) -> float | None:
        """Bytes a second towards the client; None is unlimited, 0 stopped."""
        return self._rate

    @rate.setter
    def rate(self, rate: float | None) -> None:
        self._rate = rate
        self._allowance.forget()
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def cut(self) -> None:
        """Close every connection, and each new one at once, until `mend`."""
        self._is_cut = True
        for scope in tuple(self._connections):
            scope.cancel()

    def mend(self) -> None:
        """Accept connections again."""
        self._is_cut = False

    async def run(self, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `await task_group.start(link.run)` returns the port."""
        listener = await anyio.create_tcp_listener(local_host=HOST, local_port=self.port)
        async with listener:
            self.port = listener.extra(SocketAttribute.local_port)
            task_status.started(self.port)
            await listener.serve(self._serve)

    async def _serve(self, client: SocketStream) -> None:
        with anyio.CancelScope() as scope, contextlib.suppress(OSError):
            self._connections.add(scope)
            try:
                async with client:
                    if self._is_cut:
                        return
                    async with await anyio.connect_tcp(HOST, self.target_port) as server:
                        await self._forward(client, server, scope)
            finally:
                self._connections.discard(scope)

    async def _forward(self, client: SocketStream, server: SocketStream, scope: anyio.CancelScope) -> None:
        async def pump(source: ByteStream, sink: ByteStream, admit: Callable[[int], Awaitable[None]]) -> None:
            # One side's end ends both: Postgres never half-closes a connection.
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                while True:
                    data = await source.receive(self._quantum())
                    await admit(len(data))
                    await sink.send(data)
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump, server, client, self._admit)
            tasks.start_soon(pump, client, server, self._admit_reply)

    def _quantum(self) -> int:
        if self._rate is None:
            return LARGEST_BYTES
        return min(LARGEST_BYTES, max(SMALLEST_BYTES, int(self._rate * QUANTUM_S)))

    async def _admit(self, count: int) -> None:
        """Wait until `count` bytes may pass at the rate of this moment."""
        while self._rate is not None:
            changed = self._changed
            if self._rate == 0:
                await changed.wait()
                continue
            if (wait_s := self._allowance.wait_s(count, self._rate, now=anyio.current_time())) == 0:
                break
            with anyio.move_on_after(wait_s):
                await changed.wait()
        self.bytes_forwarded += count

    async def _admit_reply(self, count: int) -> None:
        while self._rate == 0:
            await self._changed.wait()
