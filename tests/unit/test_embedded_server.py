"""Embedded servers start, stop, follow each other and are gone afterwards."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from pgbackfill.embedded import Binaries, EmbeddedError, Scratch, Server

FAST = {"fsync": "off", "shared_buffers": "16MB"}


async def value(dsn: str, query: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server.create(Binaries.find(18), FAST) as server:
        yield server


@pytest.mark.parametrize("major", Binaries.available())
async def test_each_version_runs_with_its_settings(major: int) -> None:
    with Server.create(Binaries.find(major), {**FAST, "application_name": "it's"}) as server:
        assert await value(server.dsn(), "SELECT current_setting('server_version_num')::int / 10000") == major
        assert await value(server.dsn(), "SELECT setting FROM pg_settings WHERE name = 'shared_buffers'") == "2048"


async def test_is_reached_by_port_and_by_socket_and_as_another_user(server: Server) -> None:
    await value(server.dsn(), 'CREATE ROLE "ärger @ home" LOGIN')
    await value(server.dsn(), 'CREATE DATABASE "my/shop"')
    where = "SELECT current_database() || ' ' || session_user || ' ' || coalesce(host(inet_client_addr()), 'socket')"
    assert await value(server.dsn("my/shop", user="ärger @ home"), where) == "my/shop ärger @ home 127.0.0.1"
    assert await value(server.dsn(host=str(server.folder)), where) == "postgres postgres socket"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_keeps_its_data_and_its_port_over_a_restart(server: Server, mode: Any) -> None:
    await value(server.dsn(), "CREATE TABLE kept ()")
    port, pid = server.port, server.pid
    server.restart(mode)
    assert await value(server.dsn(), "SELECT to_regclass('kept') IS NOT NULL")
    assert server.port == port
    assert server.pid != pid


async def test_a_standby_follows_and_can_be_promoted(server: Server) -> None:
    with Server.standby(server, "replica-b") as standby:
        assert await value(standby.dsn(), "SELECT pg_is_in_recovery()")
        found = await value(server.dsn(), "SELECT slot_name || ' ' || wal_status FROM pg_replication_slots")
        assert found == "replica_b reserved"
        server.stop("immediate")
        standby.promote()
        assert not await value(standby.dsn(), "SELECT pg_is_in_recovery()")


def test_removing_a_server_leaves_neither_its_folder_nor_its_port() -> None:
    with Server.create(Binaries.find(18), FAST) as server:
        folder, port = server.folder, server.port
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass
    with pytest.raises(EmbeddedError, match="not running"):
        server.pid  # noqa: B018 - the property raises


def test_a_wrong_setting_is_reported_in_the_servers_own_words_and_nothing_is_left() -> None:
    before = set(Scratch.of_process().path.iterdir())
    with pytest.raises(EmbeddedError, match='unrecognized configuration parameter "colour"'):
        Server.create(Binaries.find(18), {"colour": "blue"})
    assert {path for path in Scratch.of_process().path.iterdir() if path.name.startswith("server")} <= before


def test_a_missing_version_says_what_to_install() -> None:
    with pytest.raises(EmbeddedError, match=r"pip install 'pgbackfill\[demo\]'"):
        Binaries.find(9)
