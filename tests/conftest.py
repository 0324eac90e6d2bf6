"""Real Postgres for every test that asks for one, and a fresh database a test.

`PGBACKFILL_TEST_DSN` if it is set (a superuser's), else containers where a Docker daemon answers, else the embedded
binaries. Integration tests run once for each version that exists, other tests on the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest
from hypothesis import settings

from pgbackfill.database.migrate import migrate
from pgbackfill.embedded import Binaries, Server

# What is run for a merge must not depend on luck; everywhere else new examples are drawn each time. No example has a
# deadline: how long one takes says something about the machine.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("anywhere", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "anywhere")

# Nothing here outlives a crash of the machine, so durability is bought by nobody.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "wal_level": "logical",
    "max_wal_size": "2GB",
    "autovacuum_naptime": "1s",
    "max_prepared_transactions": "10",
    "shared_buffers": "128MB",
    "log_min_messages": "fatal",
}
WANTED_IMAGES = ("postgres:16", "postgres:17", "postgres:18")
SOURCES_VARIABLE = "PGBACKFILL_TEST_SOURCES"
# In its own process: docker-py's probe leaks a socket, which is an error under `-W error`. An image is pulled only
# where none of the wanted ones is there already.
DOCKER_PROBE = """
import json, sys, docker
client = docker.from_env(timeout=120)
client.ping()
wanted = sys.argv[1:]
have = {tag for image in client.images.list() for tag in image.tags}
found = [image for image in wanted if image in have]
if not found:
    client.images.pull(wanted[-1])
    found = wanted[-1:]
print(json.dumps(found))
"""


def _sources() -> list[str]:
    """Where Postgres comes from: `dsn`, `docker-postgres:17` or `embedded-18`, one a version, oldest first.

    Found once: workers of pytest-xdist inherit the answer.
    """
    if SOURCES_VARIABLE not in os.environ:
        os.environ[SOURCES_VARIABLE] = json.dumps(_find_sources())
    return list(json.loads(os.environ[SOURCES_VARIABLE]))


def _find_sources() -> list[str]:
    if os.environ.get("PGBACKFILL_TEST_DSN"):
        return ["dsn"]
    probe = [sys.executable, "-W", "ignore", "-c", DOCKER_PROBE, *WANTED_IMAGES]
    answer = subprocess.run(probe, capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return [f"docker-{image}" for image in json.loads(answer.stdout)]
    return [f"embedded-{major}" for major in Binaries.available()]


def pytest_configure(config: pytest.Config) -> None:
    # A script's background job (`make test &`) ignores SIGINT, and so would every process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _sources()


def pytest_report_header(config: pytest.Config) -> str:
    return f"postgres: {', '.join(_sources()) or 'none found'}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "postgres" in metafunc.fixturenames:
        sources = _sources()
        if not sources:
            raise pytest.UsageError("No Postgres for the tests: pip install 'pgbackfill[dev]'.")
        newest = metafunc.definition.get_closest_marker("newest") is not None
        every = "integration" in Path(metafunc.definition.path).parts and not newest
        metafunc.parametrize("postgres", sources if every else sources[-1:], indirect=True, scope="session")


@dataclass
class Postgres:
    """One running server; `server` is set where it is an embedded one."""

    admin_dsn: str
    server: Server | None = None
    template: str | None = None

    def dsn(self, database: str, *, user: str | None = None, password: str | None = None) -> str:
        parts = urlsplit(self.admin_dsn)
        place = parts.netloc
        if user is not None:
            login = quote(user, safe="") if password is None else f"{quote(user, safe='')}:{quote(password, safe='')}"
            place = f"{login}@{parts.netloc.rpartition('@')[2]}"
        return urlunsplit((parts.scheme, place, f"/{quote(database, safe='')}", parts.query, ""))

    async def execute(self, sql: str) -> None:
        """One statement as the superuser, in the maintenance database."""
        connection = await asyncpg.connect(self.admin_dsn)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def migrated_template(self) -> str:
        """The database that every test's database is a copy of; nobody may connect to it, or copying would wait."""
        if self.template is None:
            name = f"pgbackfill_template_{secrets.token_hex(4)}"
            # Alike everywhere: a server in a bare container is set up for SQL_ASCII.
            await self.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
            connection = await asyncpg.connect(self.dsn(name))
            try:
                await migrate(connection)
            finally:
                await connection.close()
            await self.execute(f"ALTER DATABASE {name} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
            self.template = name
        return self.template

    async def drop_template(self) -> None:
        if self.template is not None:
            await self.execute(f"ALTER DATABASE {self.template} WITH IS_TEMPLATE false")
            await self.execute(f"DROP DATABASE {self.template}")


@dataclass
class Database:
    """A test's own database, a copy of the migrated template, dropped afterwards."""

    postgres: Postgres
    name: str
    _connections: list[asyncpg.Connection[Any]] = field(default_factory=list)
    _logins: list[str] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        """Of the superuser."""
        return self.postgres.dsn(self.name)

    async def connect(self, dsn: str | None = None, **options: Any) -> asyncpg.Connection[Any]:
        """A connection that is closed after the test; the superuser's unless another DSN is given."""
        connection: asyncpg.Connection[Any] = await asyncpg.connect(dsn or self.dsn, **options)
        self._connections.append(connection)
        return connection

    async def login(self, *groups: str) -> str:
        """Create a login that is a member of these groups and nothing else, and return its DSN."""
        name, password = f"login_{secrets.token_hex(4)}", secrets.token_hex(8)
        await self.postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self._logins.append(name)
        for group in groups:
            await self.postgres.execute(f"GRANT {group} TO {name}")
        return self.postgres.dsn(self.name, user=name, password=password)

    def forget(self) -> None:
        """Close the test's connections without a word to the server."""
        for connection in self._connections:
            connection.terminate()

    async def close(self) -> None:
        self.forget()
        await self.postgres.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
        for name in self._logins:
            await self.postgres.execute(f"DROP ROLE {name}")


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some have the word "postgres" for a password, which would be masked wherever it stands."""
    monkeypatch.setattr("pgbackfill.redact._literals", set())


@pytest.fixture(scope="session")
def running() -> Iterator[Callable[[str], Postgres]]:
    """Servers by source, each started on first use, all stopped at the end."""
    found: dict[str, Postgres] = {}
    with contextlib.ExitStack() as stack:

        def get(source: str) -> Postgres:
            if source not in found:
                found[source] = stack.enter_context(_started(source))
            return found[source]

        yield get


@contextlib.contextmanager
def _started(source: str) -> Iterator[Postgres]:
    kind, _, version = source.partition("-")
    if kind == "embedded":
        with Server.create(Binaries.find(int(version)), SETTINGS) as server:
            yield Postgres(server.dsn(), server)
        return
    if kind == "dsn":
        postgres = Postgres(os.environ["PGBACKFILL_TEST_DSN"])
        yield postgres
        asyncio.run(postgres.drop_template())
        return
    from testcontainers.community.postgres import PostgresContainer

    arguments = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    container = PostgresContainer(version, username="postgres", password="postgres", dbname="postgres", driver=None)
    with container.with_command(["postgres", *arguments]) as started:
        yield Postgres(started.get_connection_url())


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, running: Callable[[str], Postgres]) -> Postgres:
    """The server of this test's version."""
    return running(request.param)


@contextlib.asynccontextmanager
async def _cloned(postgres: Postgres) -> AsyncIterator[Database]:
    name = f"test_{secrets.token_hex(6)}"
    await postgres.execute(f"CREATE DATABASE {name} TEMPLATE {await postgres.migrated_template()}")
    database = Database(postgres, name)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    """A fresh database with the schema pgbackfill."""
    async with _cloned(postgres) as database:
        yield database


@dataclass
class Pair:
    """A fresh database on a primary, and the primary's streaming standby, whose application_name is `standby`."""

    database: Database
    primary: Server
    standby: Server


@contextlib.contextmanager
def _started_pair() -> Iterator[tuple[Postgres, Server]]:
    # Always embedded, because tests stop, cut and promote these by name.
    with Server.create(Binaries.find(18), SETTINGS) as primary, Server.standby(primary, "standby") as standby:
        yield Postgres(primary.dsn(), primary), standby


@pytest.fixture(scope="session")
def _shared_pair() -> Iterator[tuple[Postgres, Server]]:
    with _started_pair() as servers:
        yield servers


@contextlib.asynccontextmanager
async def _cloned_pair(servers: tuple[Postgres, Server]) -> AsyncIterator[Pair]:
    postgres, standby = servers
    assert postgres.server is not None
    async with _cloned(postgres) as database:
        yield Pair(database, postgres.server, standby)


@pytest.fixture
async def pair(_shared_pair: tuple[Postgres, Server]) -> AsyncIterator[Pair]:
    """A primary with a streaming standby, shared by all tests: whoever pauses replay resumes it."""
    async with _cloned_pair(_shared_pair) as pair:
        yield pair


@pytest.fixture
async def own_pair() -> AsyncIterator[Pair]:
    """A primary with a streaming standby for this test alone, which may stop, kill and promote them."""
    with _started_pair() as servers:
        postgres, standby = servers
        assert postgres.server is not None
        name = f"test_{secrets.token_hex(6)}"
        await postgres.execute(f"CREATE DATABASE {name}")
        database = Database(postgres, name)
        connection = await asyncpg.connect(database.dsn)
        await migrate(connection)
        await connection.close()
        yield Pair(database, postgres.server, standby)
        # Dropped with the servers, which may no longer run.
        database.forget()
