"""Connections to real Postgres, and what is said when there is none."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import asyncpg
import pytest

from pgbackfill.database.cluster import Cluster
from pgbackfill.database.connect import STATEMENT_CACHE, connect, connected
from pgbackfill.database.dsn import parse
from pgbackfill.database.failures import hold_reason
from pgbackfill.database.link import Link
from pgbackfill.database.password import password_for
from pgbackfill.database.socket_options import KEEPALIVE_IDLE_S, USER_TIMEOUT_MS
from pgbackfill.errors import DatabaseUnavailable, UsageError
from pgbackfill.settings import load_settings

SETTINGS = load_settings(None, {"http": {"enabled": False}})


def with_option(dsn: str, option: str) -> str:
    return f"{dsn}{'&' if '?' in dsn else '?'}{option}"


async def test_a_connection_is_named_after_its_purpose_and_caches_statements(database: Any) -> None:
    async with connected(database.dsn, settings=SETTINGS, purpose="work", require_primary=True) as connection:
        assert await connection.fetchval("SHOW application_name") == "pgbackfill/work"
        names = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE '\\_\\_asyncpg%'"
        assert await connection.fetchval(names) > 0
    assert connection.is_closed()


async def test_options_of_the_string_reach_the_session(database: Any) -> None:
    options = quote("-c work_mem=5MB --idle_in_transaction_session_timeout=7s")
    ignored = "keepalives_idle=3&connect_timeout=9&gssencmode=disable&channel_binding=prefer&application_name=x"
    dsn = with_option(database.dsn, f"options={options}&{ignored}")
    async with connected(dsn, settings=SETTINGS, purpose="work") as connection:
        assert await connection.fetchval("SHOW work_mem") == "5MB"
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "7s"
        assert await connection.fetchval("SHOW application_name") == "pgbackfill/work"


async def test_a_dead_peer_is_noticed_soon(database: Any) -> None:
    connection = await connect(database.dsn, settings=SETTINGS, purpose="work")
    peer = connection._transport.get_extra_info("socket")
    if peer.family in (socket.AF_INET, socket.AF_INET6):
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_IDLE_S
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == USER_TIMEOUT_MS
    else:
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0  # nothing to keep alive on this machine
    await connection.close()


async def test_a_configured_pooler_gets_no_statement_names_and_no_options(database: Any) -> None:
    settings = load_settings(None, {"pooler": "pgbouncer"})
    async with connected(database.dsn, settings=settings, purpose="work") as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
        assert STATEMENT_CACHE > 0
    with pytest.raises(UsageError, match="options cannot pass a pooler"):
        await connect(with_option(database.dsn, "options=-cjit%3Doff"), settings=settings, purpose="work")


async def test_what_the_server_says_becomes_one_sentence_without_the_password(database: Any) -> None:
    for dsn, sentence in (
        (database.postgres.dsn("nothing_here"), "does not exist; create it or correct the DSN."),
        (database.postgres.dsn(database.name, user="nobody_here", password="hunter2222"), "refused the login: "),
        (with_option(database.dsn, "options=-cwork_mem%3Dmuch"), "invalid value for parameter"),
        (
            with_option(database.dsn, "sslmode=verify-full&sslrootcert=/nothing.pem"),
            "sslrootcert=/nothing.pem is not there",
        ),
        ("postgres://u:hunter2222@127.0.0.1:1/shop", "does not listen there; check address and port"),
        ("postgres://u:hunter2222@name.invalid/shop", "has no address; check its name."),
    ):
        with pytest.raises(DatabaseUnavailable) as caught:
            await connect(dsn, settings=SETTINGS, purpose="work")
        assert sentence in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "hunter2222" not in f"{caught.value!r} {caught.value.__cause__!r}"
        assert caught.value.exit_code == 3


async def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgres://u@127.0.0.1:{silent.getsockname()[1]}/shop"
        settings = load_settings(None, {"connect_timeout_s": 0.2})
        with pytest.raises(DatabaseUnavailable, match=r"did not answer within 0\.2 s"):
            await connect(dsn, settings=settings, purpose="work")


async def test_only_the_primary_will_do_where_it_is_asked_for(pair: Any) -> None:
    standby = pair.standby.dsn()
    async with connected(standby, settings=SETTINGS, purpose="probe") as connection:
        assert await connection.fetchval("SELECT pg_is_in_recovery()")
    with pytest.raises(DatabaseUnavailable, match="read-only standby; give pgbackfill the address of the primary"):
        await connect(standby, settings=SETTINGS, purpose="work", require_primary=True)


async def test_of_several_hosts_the_primary_is_found(pair: Any) -> None:
    places = [parse(server.dsn()) for server in (pair.standby, pair.primary)]
    hosts = ",".join(place.hosts[0][0] for place in places)
    ports = ",".join(place.hosts[0][1] for place in places)
    dsn = f"host={hosts} port={ports} user={places[0].user} dbname=postgres"
    async with connected(dsn, settings=SETTINGS, purpose="work", require_primary=True) as connection:
        assert not await connection.fetchval("SELECT pg_is_in_recovery()")


def several(*servers: Any) -> str:
    """A DSN of several hosts, for servers and for ports where there is none."""
    ports = ",".join(str(getattr(server, "port", server)) for server in servers)
    hosts = ",".join("127.0.0.1" for _ in servers)
    return f"host={hosts} port={ports} user=postgres dbname=postgres"


async def test_a_host_whose_packets_vanish_does_not_hide_the_others(pair: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = load_settings(None, {"connect_timeout_s": 0.5})
        dsn = several(silent.getsockname()[1], pair.primary)
        async with connected(dsn, settings=settings, purpose="work", require_primary=True) as connection:
            assert not await connection.fetchval("SELECT pg_is_in_recovery()")


async def test_where_no_host_will_do_each_is_named(pair: Any) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        await connect(several(1, pair.standby), settings=SETTINGS, purpose="work", require_primary=True)
    assert str(caught.value).endswith(
        " will do: connection refused (database postgres on 127.0.0.1:1 as postgres);"
        f" read-only standby (database postgres on 127.0.0.1:{pair.standby.port} as postgres)."
    )


async def test_another_cluster_or_a_primary_of_the_past_will_not_do(pair: Any) -> None:
    seen = Cluster()

    async def try_it(cluster: Cluster, *hosts: Any) -> None:
        dsn = several(*hosts)
        async with connected(dsn, settings=SETTINGS, purpose="work", require_primary=True, cluster=cluster):
            pass

    await try_it(seen, pair.primary)
    assert (seen.system_identifier, seen.timeline) != (None, None)
    await try_it(seen, pair.primary)
    for wrong, brief in (
        (replace(seen, system_identifier=1), f"another cluster: system identifier {seen.system_identifier}, not 1 "),
        (replace(seen, timeline=9), f"old primary: timeline {seen.timeline}, after 9 "),
    ):
        with pytest.raises(DatabaseUnavailable) as caught:
            await try_it(wrong, pair.primary)
        assert caught.value.brief.startswith(brief)
        with pytest.raises(DatabaseUnavailable, match=r"^None of the hosts of the .* will do: "):
            await try_it(wrong, pair.primary, pair.standby)


async def test_a_server_that_hides_its_identity_is_believed(database: Any) -> None:
    dsn = await database.login()
    own = await database.connect()
    await own.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    cluster = Cluster(system_identifier=1, timeline=9)
    async with connected(dsn, settings=SETTINGS, purpose="work", require_primary=True, cluster=cluster) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert cluster == Cluster(system_identifier=1, timeline=9)


async def test_a_connection_that_gives_no_answer_is_replaced(database: Any) -> None:
    """TCP is well, so nothing but the clock tells."""
    link = Link(lambda: connect(database.dsn, settings=SETTINGS, purpose="control", answer_s=0.2))
    with pytest.raises(TimeoutError) as caught:
        async with link.use() as connection:
            await connection.execute("SELECT pg_sleep(60)")
    assert hold_reason(caught.value) == "disconnected no answer in time"
    async with link.use() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert link.generation == 2
    await link.close()


async def test_a_connection_that_breaks_inside_is_a_sentence_too(database: Any) -> None:
    other = await database.connect()

    async def query_on_a_terminated_connection() -> None:
        async with connected(database.dsn, settings=SETTINGS, purpose="work") as connection:
            await other.execute("SELECT pg_terminate_backend($1)", await connection.fetchval("SELECT pg_backend_pid()"))
            await connection.fetchval("SELECT 1")

    for _ in range(10):  # asyncpg has several ways to put it, depending on who comes first
        with pytest.raises(DatabaseUnavailable, match=r"it can be tried again|does not take|answered"):
            await query_on_a_terminated_connection()
    with pytest.raises(asyncpg.UndefinedTableError):
        async with connected(database.dsn, settings=SETTINGS, purpose="work") as connection:
            await connection.execute("SELECT * FROM nothing_here")


async def test_a_password_file_is_read_at_each_connect(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = load_settings(None, {"password_file": file})
    target = parse("postgres://u@h/d")
    for password in ("first-one", "second-one"):
        file.write_text(f"{password}\n")
        assert await password_for(target, settings) == password
    assert await password_for(parse("postgres://u:own@h/d"), settings) == "own"
    file.unlink()
    with pytest.raises(UsageError, match="PGBACKFILL_PASSWORD_FILE names"):
        await connect("postgres://u@127.0.0.1:1/d", settings=settings, purpose="work")


async def test_a_password_command_knows_where_it_is_for() -> None:
    settings = load_settings(None, {"password_command": 'printf "%s\\nrest" "$PGUSER@$PGHOST:$PGPORT/$PGDATABASE"'})
    assert await password_for(parse("postgres://u@h:7/d"), settings) == "u@h:7/d"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [("echo hunter2222; exit 3", "ended with status 3; run it by hand"), ("true", "printed no password")],
)
async def test_a_password_command_that_fails_is_one_sentence(command: str, sentence: str) -> None:
    settings = load_settings(None, {"password_command": command})
    with pytest.raises(DatabaseUnavailable, match=sentence) as caught:
        await connect("postgres://u@127.0.0.1:1/d", settings=settings, purpose="work")
    assert "hunter2222" not in str(caught.value)


async def test_a_slow_password_command_counts_against_the_connect_time_out() -> None:
    settings = load_settings(None, {"password_command": "sleep 60", "connect_timeout_s": 0.2})
    with anyio.fail_after(30), pytest.raises(DatabaseUnavailable, match="did not answer within"):
        await connect("postgres://u@127.0.0.1:1/d", settings=settings, purpose="work")


async def test_cancelling_leaves_no_connection_behind(database: Any) -> None:
    other = await database.connect()
    with anyio.CancelScope() as scope:
        async with connected(database.dsn, settings=SETTINGS, purpose="cancelled"):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbackfill/cancelled'"
    with anyio.fail_after(30):
        while await other.fetchval(left):
            await anyio.lowlevel.checkpoint()
