"""The servers of the race: one primary, one standby behind a link, and a fresh copy of the table for every run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import anyio
import asyncpg

from benchmarks.harness.daemon import migrate
from benchmarks.harness.tables import WrongResult
from pgbackfill.embedded import Binaries, Link, Server

MAJOR = 18
STANDBY = "race-standby"
TEMPLATE, RUN = "race_template", "race_run"
CAUGHT_UP_TIMEOUT_S = 120.0
POLL_S = 0.02
SHOP_ROWS = 1000

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    # Every run starts behind a checkpoint, so each would begin with full-page images and end without: WAL a row would
    # depend on how far a contender came. Off, it is the same for all, as in the middle of a checkpoint's cycle.
    "full_page_writes": "off",
    # Whoever happens to write when it comes to the foreground's table would answer for what it writes.
    "autovacuum": "off",
    "fsync": "on",
    "jit": "off",
    "log_min_messages": "fatal",
}

LOAD = """
CREATE TABLE users
    (id bigint, email text, email_lower text, digest text, hits int NOT NULL, n int NOT NULL, filler text)
    WITH (autovacuum_enabled = off);
INSERT INTO users
    SELECT g, 'User' || g || '@Example.com', NULL, NULL, 0, 0, left(repeat(md5(g::text), 32), {filler_bytes})
    FROM generate_series(1, {rows}) AS g;
ALTER TABLE users ADD PRIMARY KEY (id);
CREATE TABLE shop (id int PRIMARY KEY, visits int NOT NULL);
INSERT INTO shop SELECT g, 0 FROM generate_series(1, {shop_rows}) AS g;
"""

CHECK = """
SELECT count(*) AS total, count(*) FILTER (WHERE n = 1 AND {column} IS NOT NULL) AS once,
       count(*) FILTER (WHERE n = 0 AND {column} IS NULL) AS untouched
FROM users
"""


@dataclass(slots=True)
class Stage:
    """`postgres` and `standby` are connections to the maintenance database of either server."""

    primary: Server
    replica: Server
    link: Link
    postgres: asyncpg.Connection
    standby: asyncpg.Connection

    @property
    def dsn(self) -> str:
        """Of the database of this run, on the primary."""
        return self.primary.dsn(RUN)

    @classmethod
    @contextlib.asynccontextmanager
    async def build(cls) -> AsyncIterator[Stage]:
        """The servers, for as long as the context lasts."""
        async with anyio.create_task_group() as tasks, contextlib.AsyncExitStack() as stack:
            stack.callback(tasks.cancel_scope.cancel)  # last: the link outlives the servers
            create = partial(Server.create, Binaries.find(MAJOR), SETTINGS)
            primary = stack.enter_context(await anyio.to_thread.run_sync(create))
            link = Link(primary.port)
            await tasks.start(link.run)
            join = partial(Server.standby, primary, STANDBY, conninfo_port=link.port)
            replica = stack.enter_context(await anyio.to_thread.run_sync(join))
            connections = []
            for server in (primary, replica):
                connections.append(await asyncpg.connect(server.dsn(), command_timeout=None))
                stack.push_async_callback(connections[-1].close)
            await connections[0].execute(
                "CREATE TABLE heartbeat (one bool PRIMARY KEY, at timestamptz NOT NULL);"
                "INSERT INTO heartbeat VALUES (true, now())"
            )
            yield cls(primary, replica, link, *connections)

    async def load(self, rows: int, filler_bytes: int) -> None:
        """The template that every run of a course is a copy of, pgbackfill's schema included."""
        self.link.rate = None
        await self.postgres.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
        await self.postgres.execute(f"CREATE DATABASE {TEMPLATE}")
        async with self.connected(TEMPLATE) as connection:
            await connection.execute(LOAD.format(rows=rows, filler_bytes=filler_bytes, shop_rows=SHOP_ROWS))
            await connection.execute("VACUUM (ANALYZE)")
        await migrate(self.primary.dsn(TEMPLATE))
        await self.caught_up()

    async def fresh(self) -> None:
        """A new copy, on both servers; by files, so that the standby makes its own and nothing crosses the link."""
        self.link.rate = None
        await self.postgres.execute(f"DROP DATABASE IF EXISTS {RUN} WITH (FORCE)")
        await self.postgres.execute(f"CREATE DATABASE {RUN} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        await self.caught_up()

    async def caught_up(self) -> None:
        """Returns when the standby has replayed all that is written by now."""
        position = await self.written()
        with anyio.fail_after(CAUGHT_UP_TIMEOUT_S):
            while await self.replayed() < position:  # noqa: ASYNC110 - a server has no events
                await anyio.sleep(POLL_S)

    async def written(self) -> int:
        return int(await self.postgres.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))

    async def replayed(self) -> int:
        return int(await self.standby.fetchval("SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn"))

    @contextlib.asynccontextmanager
    async def connected(self, database: str = RUN) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.primary.dsn(database), command_timeout=None)
        try:
            yield connection
        finally:
            await connection.close()

    async def check(self, column: str, rows: int, changed: int) -> None:
        """Raises WrongResult unless `changed` of all `rows` rows were changed exactly once and the others never."""
        async with self.connected() as connection:
            found = await connection.fetchrow(CHECK.format(column=column))
        assert found is not None, "an aggregate always answers a row"
        if (found["total"], found["once"], found["untouched"]) != (rows, changed, rows - changed):
            raise WrongResult(
                f"{changed} of {rows} rows should be changed once and the others never,"
                f" but {found['once']} were changed once and {found['untouched']} of {found['total']} never"
            )
