"""Opens connections: passwords that change, poolers, dead peers, and errors as one sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import asyncpg

from pgbackfill.database import socket_options
from pgbackfill.database.cluster import Cluster
from pgbackfill.database.dsn import Dsn, parse, session_options
from pgbackfill.database.failures import none_will_do, unavailable
from pgbackfill.database.link import UNREACHABLE, lost
from pgbackfill.database.password import password_for
from pgbackfill.errors import DatabaseUnavailable, UsageError
from pgbackfill.settings import Settings

# asyncpg's default; what a direct connection gets.
STATEMENT_CACHE: Final = 100

_pooled: set[tuple[tuple[str, str], ...]] = set()


async def connect(
    dsn: str,
    *,
    settings: Settings,
    purpose: str,
    require_primary: bool = False,
    cluster: Cluster | None = None,
    answer_s: float | None = None,
) -> asyncpg.Connection[asyncpg.Record]:
    """Opens a connection that shows up as `pgbackfill/<purpose>`, to the first host that will do.

    `require_primary`: no standby will. `cluster`: nor will another cluster, or a primary of the past. `answer_s` is the
    longest that a statement may take on this connection (TimeoutError); None: as long as it takes.

    Behind a pooler that shares server connections between clients (PgBouncer in transaction mode), statements are
    not cached and no session settings are sent, because both would belong to whichever server connection comes
    next. A pooler gives itself away: the process id that it reports at login is not that of a Postgres backend.

    Raises DatabaseUnavailable with one sentence, UsageError for a wrong connection string. Neither holds a secret.
    """
    target = parse(dsn)
    failures = []
    for place in target.places():
        try:
            return await _connect(place, settings, purpose, require_primary, cluster, answer_s)
        except DatabaseUnavailable as error:
            failures.append(error)
    raise failures[0] if len(failures) == 1 else none_will_do(failures, target)


async def _connect(
    target: Dsn,
    settings: Settings,
    purpose: str,
    require_primary: bool,
    cluster: Cluster | None,
    answer_s: float | None,
) -> asyncpg.Connection[asyncpg.Record]:
    # For each host, as in libpq: one whose packets vanish must not keep the others from being tried.
    timeout_s = target.connect_timeout_s or settings.connect_timeout_s
    connection: asyncpg.Connection[asyncpg.Record] | None = None
    try:
        with anyio.fail_after(timeout_s):
            password = await password_for(target, settings)
            pooled = settings.pooler == "pgbouncer" or (settings.pooler == "auto" and target.hosts in _pooled)
            connection = await _open(target, password, purpose, pooled=pooled, answer_s=answer_s)
            if settings.pooler == "auto" and not pooled and await is_pooler(connection):
                _pooled.add(target.hosts)
                await connection.close()
                connection = await _open(target, password, purpose, pooled=True, answer_s=answer_s)
            if require_primary and not await _holds(connection, "NOT pg_catalog.pg_is_in_recovery()"):
                raise DatabaseUnavailable(
                    f"The {target} is a read-only standby; give pgbackfill the address of the primary.",
                    brief=f"read-only standby ({target})",
                )
            if cluster is not None and (wrong := await cluster.wrong(connection)) is not None:
                raise DatabaseUnavailable(f"The {target} is {wrong.sentence}.", brief=f"{wrong.brief} ({target})")
    except TimeoutError:
        _discard(connection)
        raise DatabaseUnavailable(
            f"The {target} did not answer within {timeout_s:g} s; check address, firewall and connect_timeout_s.",
            brief=f"no answer within {timeout_s:g} s ({target})",
        ) from None
    except DatabaseUnavailable:
        _discard(connection)
        raise
    except (asyncpg.PostgresError, *UNREACHABLE) as error:
        _discard(connection)
        raise unavailable(error, target) from error
    except BaseException:
        _discard(connection)
        raise
    socket_options.apply(connection, target)
    return connection


@asynccontextmanager
async def connected(
    dsn: str, *, settings: Settings, purpose: str, require_primary: bool = False, cluster: Cluster | None = None
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection for the length of a block. A connection that breaks inside raises DatabaseUnavailable."""
    connection = await connect(
        dsn, settings=settings, purpose=purpose, require_primary=require_primary, cluster=cluster
    )
    try:
        yield connection
    except Exception as error:
        if isinstance(error, DatabaseUnavailable) or not lost(error):
            raise
        raise unavailable(error, parse(dsn)) from error
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await connection.close()
        _discard(connection)


async def _open(
    target: Dsn, password: str | None, purpose: str, *, pooled: bool, answer_s: float | None
) -> asyncpg.Connection[asyncpg.Record]:
    # application_name is among the few parameters that PgBouncer tracks for each client; others it refuses.
    server_settings = {"application_name": f"pgbackfill/{purpose}"}
    options = target.parameters.get("options")
    if options and pooled:
        raise UsageError(
            "The DSN's options cannot pass a pooler, which would leave them to other clients; "
            "use ALTER ROLE ... SET, or session_settings of the job."
        )
    if options:
        server_settings |= session_options(options)
    system_roots = target.parameters.get("sslrootcert") == "system"
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
        target.tls_uri(),
        host=[host for host, _ in target.hosts],
        port=[int(port) for _, port in target.hosts],
        user=target.user,
        database=target.database,
        password=password,
        ssl=True if system_roots else None,
        timeout=3_600,  # the caller's scope is shorter
        command_timeout=answer_s,
        statement_cache_size=0 if pooled else STATEMENT_CACHE,
        server_settings=server_settings,
    )
    if pooled:
        # Before it looks up a type, asyncpg switches jit off for the session and then on again, which through a pool
        # may be two different sessions; without the capability it leaves jit alone.
        connection._server_caps = connection._server_caps._replace(jit=False)  # type: ignore[attr-defined]
    return connection


async def is_pooler(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Whether a pooler answers: what a session keeps there, such as LISTEN, would be another client's next."""
    return not await _holds(connection, f"pg_catalog.pg_backend_pid() = {connection.get_server_pid()}")


async def _holds(connection: asyncpg.Connection[asyncpg.Record], condition: str) -> bool:
    # By the simple protocol, whose command tag carries the answer: a prepared statement would stay behind on a
    # server connection that belongs to the pooler.
    return await connection.execute(f"SELECT WHERE {condition}") == "SELECT 1"


def _discard(connection: asyncpg.Connection[asyncpg.Record] | None) -> None:
    if connection is not None and not connection.is_closed():
        connection.terminate()
