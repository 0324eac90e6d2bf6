"""The proxy that makes a replica slow."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from pgbackfill.embedded.link import CATCH_UP_S, Allowance, Link

PAYLOAD = bytes(range(256)) * 4096


@contextlib.asynccontextmanager
async def linked_to_sender() -> AsyncIterator[Link]:
    """A link to a server that sends the payload to each client and then waits for its answer."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.send(PAYLOAD)
                await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        link = Link(listener.extra(SocketAttribute.local_port))
        await tasks.start(link.run)
        yield link
        tasks.cancel_scope.cancel()


async def received(client: SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await client.receive()
    return data


async def test_passes_on_what_was_sent() -> None:
    async with linked_to_sender() as link, await anyio.connect_tcp("127.0.0.1", link.port) as client:
        assert await received(client, len(PAYLOAD)) == PAYLOAD
        assert link.bytes_forwarded == len(PAYLOAD)


async def test_a_stopped_link_holds_everything_back_and_loses_nothing() -> None:
    async with linked_to_sender() as link:
        link.rate = 0
        client = await anyio.connect_tcp("127.0.0.1", link.port)
        async with client, anyio.create_task_group() as tasks:

            async def start_again_when_the_sender_is_stuck() -> None:
                await anyio.wait_all_tasks_blocked()
                assert link.bytes_forwarded == 0
                link.rate = None

            tasks.start_soon(start_again_when_the_sender_is_stuck)
            assert await received(client, len(PAYLOAD)) == PAYLOAD


async def test_a_cut_closes_connections_and_refuses_new_ones_until_mended() -> None:
    async with linked_to_sender() as link:
        async with await anyio.connect_tcp("127.0.0.1", link.port) as client:
            await received(client, len(PAYLOAD))
            link.cut()
            with pytest.raises(anyio.EndOfStream):
                await client.receive()
        async with await anyio.connect_tcp("127.0.0.1", link.port) as client:
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await client.receive()
        link.mend()
        async with await anyio.connect_tcp("127.0.0.1", link.port) as client:
            assert await received(client, len(PAYLOAD)) == PAYLOAD


@pytest.mark.parametrize("late_s", [0.0, 0.004, 0.02])
def test_over_time_exactly_the_rate_passes_even_if_every_wake_up_is_late(late_s: float) -> None:
    allowance, now, passed = Allowance(), 100.0, 0
    while now < 110:
        wait_s = allowance.wait_s(1000, 50_000, now=now)
        if wait_s == 0:
            passed += 1000
        else:
            now += wait_s + late_s
    assert passed == pytest.approx(500_000 + CATCH_UP_S * 50_000, rel=0.02)


def test_an_idle_phase_saves_no_more_than_the_catch_up() -> None:
    allowance, passed = Allowance(), 0
    allowance.wait_s(1000, 50_000, now=0.0)
    while allowance.wait_s(1000, 50_000, now=60.0) == 0:
        passed += 1000
    assert passed <= CATCH_UP_S * 50_000 + 1000
