"""Debian's Postgres 15, PgBouncer in front of it, psql, and the daemon as its users run it: a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from benchmarks.harness.pooler import pgbouncer, program

from pgbackfill.embedded import Binaries, Server

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
PATIENCE_S = 60
"""A test that waits longer than this for something hangs."""
POLL_S = 0.02

PROGRAMS = {
    "postgresql-15": (POSTGRES_15 / "postgres").exists(),
    "postgresql-client": shutil.which("psql") is not None,
    "chromium": any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")),
    "pgbouncer": program() is not None,
    "prometheus": all(shutil.which(program) for program in ("prometheus", "promtool")),
}


def pytest_configure(config: pytest.Config) -> None:
    missing = " ".join(package for package, there in PROGRAMS.items() if not there)
    if missing:
        raise pytest.UsageError(f"The system tests need programs that are not here: apt-get install {missing}")


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(POLL_S)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool], str], None]:
    """Waits for what another program does; says what it waited for."""
    return wait


class Psql:
    """Runs SQL by the client that people have; every call is a connection of its own."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def __call__(self, *commands: str) -> list[tuple[str, ...]]:
        """The rows of all commands, each value as psql prints it. Every command is a transaction of its own."""
        arguments = [part for command in commands for part in ("-c", command)]
        result = subprocess.run(
            ["psql", self.dsn, "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            env=_environment(),
        )
        assert result.returncode == 0, result.stderr
        return [tuple(line.split("\t")) for line in result.stdout.splitlines()]

    @contextlib.contextmanager
    def open_transaction(self, command: str) -> Iterator[None]:
        """Runs a command and does not commit until the block ends."""
        arguments = ["-c", "BEGIN", "-c", command, "-c", "\\echo done", "-c", f"SELECT pg_sleep({PATIENCE_S})"]
        process = subprocess.Popen(["psql", self.dsn, "-XqAt", *arguments], stdout=subprocess.PIPE, env=_environment())
        try:
            assert process.stdout is not None
            while process.stdout.readline() != b"done\n":
                assert process.poll() is None
            yield
        finally:
            process.kill()
            process.communicate()

    def value(self, command: str) -> str:
        """The one value of the one row."""
        ((value,),) = self(command)
        return value


@dataclass
class Daemon:
    """One `pgbackfill run`."""

    process: subprocess.Popen[str]
    log: Path

    def drained(self) -> None:
        """Waits for a draining daemon's own end, which must be a good one."""
        assert self.process.wait(PATIENCE_S) == 0, self.log.read_text()

    def stopped(self) -> None:
        """Asks it to end, which it must do well."""
        self.process.send_signal(signal.SIGTERM)
        self.drained()

    def killed(self) -> None:
        """Ends it without a word."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def port(self) -> int:
        """Where it answers HTTP; once it is ready."""
        (port,) = re.findall(r'"port": (\d+), "event": "http listens"', self.log.read_text())
        return int(port)

    def says(self, event: str) -> bool:
        return f'"event": "{event}"' in self.log.read_text()


def _environment(**settings: str) -> dict[str, str]:
    """Nothing of the caller's own configuration reaches what is tested."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PGBACKFILL_", "PG"))}
    return kept | settings


def pgbackfill(dsn: str, *arguments: str) -> str:
    """Runs one command to its end."""
    result = subprocess.run(
        [sys.executable, "-m", "pgbackfill", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=_environment(PGBACKFILL_DSN=dsn),
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(name="psql")
def _psql() -> Callable[[str], Psql]:
    return Psql


@pytest.fixture(name="pgbackfill")
def _pgbackfill() -> Callable[..., str]:
    return pgbackfill


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts `pgbackfill run …`, with settings as environment variables; stopped after the test."""
    started: list[Daemon] = []

    def run(dsn: str, *arguments: str, **settings: str) -> Daemon:
        log = tmp_path / f"daemon-{len(started)}.log"
        environment = _environment(PGBACKFILL_DSN=dsn, PGBACKFILL_HTTP__PORT="0", **settings)
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pgbackfill", "run", *arguments],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        started.append(Daemon(process, log))
        return started[-1]

    yield run
    for daemon in started:
        with contextlib.suppress(ProcessLookupError):
            daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait(PATIENCE_S)


@pytest.fixture(scope="session")
def debian_15() -> Iterator[Server]:
    """A server of Debian's Postgres 15."""
    with Server.create(Binaries(15, POSTGRES_15), {"fsync": "off", "log_min_messages": "fatal"}) as server:
        yield server


@dataclass
class Shop:
    """A migrated database with 20,000 rows; `pooled` leads through a pool of a single server connection."""

    direct: Psql
    pooled: Psql


@pytest.fixture
def shop(debian_15: Server) -> Iterator[Shop]:
    """All clients of the pool share one server connection."""
    with _shop(debian_15, pool_size=1) as shop:
        yield shop


@pytest.fixture
def wide_shop(debian_15: Server) -> Iterator[Shop]:
    """With a pool in which a chunk does not keep everybody else out."""
    with _shop(debian_15, pool_size=10) as shop:
        yield shop


@contextlib.contextmanager
def _shop(debian_15: Server, pool_size: int) -> Iterator[Shop]:
    name = "shop"
    server = Psql(debian_15.dsn())
    server(f"CREATE DATABASE {name}")
    direct = Psql(debian_15.dsn(name))
    pgbackfill(direct.dsn, "migrate")
    direct(
        "CREATE TABLE users (id bigint PRIMARY KEY, email text, email_lower text, visits int NOT NULL DEFAULT 0)",
        "INSERT INTO users SELECT g, 'User' || g || '@Example.com' FROM generate_series(1, 20000) AS g",
    )
    with pgbouncer(debian_15.port, debian_15.user, pool_size) as port:
        yield Shop(direct, Psql(f"postgresql://{debian_15.user}@127.0.0.1:{port}/{name}"))
    server(f"DROP DATABASE {name} WITH (FORCE)")
