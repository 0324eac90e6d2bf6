"""The servers of a course: one primary, and in front of it what the course needs."""

from __future__ import annotations

import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import asyncpg

from pgbackfill.database.migrate import migrate
from pgbackfill.embedded import Binaries, Server

from .fleet import Fleet
from .heat import Heat, Shape, Standing
from .outcome import Outcome

MAJOR = 18
SETTINGS = {
    # A killed server is not a crashed machine: what it wrote is in the system's cache. What it had not written yet,
    # commits of chunks among it, is lost all the same.
    "fsync": "off",
    "max_connections": "100",
    "autovacuum_naptime": "1s",
    "log_min_messages": "fatal",
}


@dataclass
class Stage:
    """`dsn` is of the course's own database, directly; `way` is how daemons reach it, with %s for their port."""

    dsn: Callable[[], str]
    server: Server
    fleet: Fleet
    outcome: Outcome
    rounds: int
    port: Callable[[], int]
    """Where the daemons' wires lead to."""
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def way(self, port: int | str = "%s") -> str:
        """A daemon's DSN through this port."""
        return f"postgresql://{self.server.user}@127.0.0.1:{port}/chaos?sslmode=disable"

    async def moment(self, at_most_s: float = 0.15) -> None:
        """A random one."""
        await anyio.sleep(self.chance.uniform(0, at_most_s))

    async def play(
        self,
        shapes: tuple[Shape, ...],
        one: Callable[[Heat, list[Standing]], Awaitable[list[float] | None]],
        *,
        rounds: int | None = None,
        **options: object,
    ) -> None:
        """Heats of these shapes, until there were enough rounds.

        `one` is a round, called right after a chunk with the ranges as they stand; it answers the takeovers that it
        timed, or None where nothing came of it because the job was over first.
        """
        target = self.outcome.rounds + (self.rounds if rounds is None else rounds)
        for shape in _for_ever(shapes):
            heat = Heat(self.dsn, shape)
            async with heat.running(**options):
                while self.outcome.rounds < target and (ranges := await heat.at_work()) is not None:
                    takeovers = await one(heat, ranges)
                    await heat.agrees()
                    if takeovers is not None:
                        self.outcome.rounds += 1
                        self.outcome.takeovers += takeovers
            self.outcome.lost += heat.lost
            self.outcome.repeated += heat.repeated
            if self.outcome.rounds >= target:
                return


def _for_ever(shapes: tuple[Shape, ...]) -> Iterator[Shape]:
    while True:
        yield from shapes


@contextmanager
def server() -> Iterator[Server]:
    """The primary of all courses but those of failover."""
    with Server.create(Binaries.find(MAJOR), SETTINGS) as started:
        yield started


async def prepared(server: Server) -> None:
    """The database `chaos`, new, with the schema."""
    connection = await asyncpg.connect(server.dsn())
    await connection.execute("DROP DATABASE IF EXISTS chaos WITH (FORCE)")
    await connection.execute("CREATE DATABASE chaos")
    await connection.close()
    connection = await asyncpg.connect(server.dsn("chaos"))
    await migrate(connection)
    await connection.close()


@asynccontextmanager
async def staged(server: Server, outcome: Outcome, rounds: int, *, port: int | None = None) -> AsyncIterator[Stage]:
    """A stage on this server; `port` is a pooler's."""
    await prepared(server)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with Fleet.gathered(Path(folder)) as fleet:
            yield Stage(partial(server.dsn, "chaos"), server, fleet, outcome, rounds, lambda: port or server.port)
