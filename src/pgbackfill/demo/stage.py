"""The processes of the demonstration: a primary, a standby behind a slow-able link, an application, and the daemon."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from pgbackfill.database.migrate import migrate
from pgbackfill.demo import shop
from pgbackfill.demo.connection import connected
from pgbackfill.embedded import Binaries, EmbeddedError, Link, Scratch, Server

POSTGRES_MAJOR = 18
STANDBY = "replica-b"
DATABASE = "shop"
SETTINGS = {
    "shared_buffers": "256MB",
    # No checkpoint during the half minute that is measured.
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    # Files instead of /dev/shm, of which a container often has only 64 MB.
    "dynamic_shared_memory_type": "mmap",
    "maintenance_work_mem": "256MB",
    "work_mem": "64MB",
    "log_min_messages": "fatal",
}
STREAMING_TIMEOUT_S = 30.0
POLL_S = 0.05
LOG_TAIL_BYTES = 3000


class Stage:
    """Builds and holds everything that runs. Whatever it starts ends with the scratch folder."""

    def __init__(self, primary: Server, standby: Server, link: Link, rows: int) -> None:
        self.primary = primary
        self.standby = standby
        self.link = link
        self.rows = rows
        self._scratch = Scratch.of_process()
        self._folder = self._scratch.folder("demo")

    @classmethod
    async def build(cls, tasks: TaskGroup, rows: int, say: Callable[[str], None]) -> Stage:
        """Start the servers and load the shop; the link runs in `tasks`. `say` is told what is ready."""
        started_s = time.monotonic()
        create = partial(Server.create, Binaries.find(POSTGRES_MAJOR), SETTINGS)
        primary = await anyio.to_thread.run_sync(create)
        say(f"Postgres {POSTGRES_MAJOR} started in {time.monotonic() - started_s:.1f} s.")

        started_s = time.monotonic()
        async with connected(primary.dsn()) as connection:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        await shop.load(primary.dsn(DATABASE), rows)
        async with connected(primary.dsn(DATABASE)) as connection:
            await migrate(connection)
        say(f"A shop with {rows:,} orders loaded in {time.monotonic() - started_s:.1f} s.")

        started_s = time.monotonic()
        link = Link(primary.port)
        await tasks.start(link.run)
        join = partial(Server.standby, primary, STANDBY, conninfo_port=link.port)
        standby = await anyio.to_thread.run_sync(join)
        await _wait_streaming(primary)
        say(f"A streaming standby joined in {time.monotonic() - started_s:.1f} s.")
        return cls(primary, standby, link, rows)

    @property
    def dsn(self) -> str:
        """Of the shop's database on the primary."""
        return self.primary.dsn(DATABASE)

    def start_traffic(self) -> subprocess.Popen[bytes]:
        """The application; its standard output carries latencies."""
        environment = {"PGBACKFILL_DEMO_DSN": self.dsn, "PGBACKFILL_DEMO_ROWS": str(self.rows)}
        return self._python(["pgbackfill.demo.traffic"], environment, output=subprocess.PIPE)

    def start_daemon(self) -> subprocess.Popen[bytes]:
        """`pgbackfill run --drain`, as a user would start it."""
        environment = {"PGBACKFILL_DSN": self.dsn, "PGBACKFILL_HTTP__PORT": "0"}
        with self.daemon_log.open("wb") as log:
            return self._python(["pgbackfill", "run", "--drain"], environment, output=log)

    @property
    def daemon_log(self) -> Path:
        return self._folder / "daemon.log"

    def end_of_daemon_log(self) -> str:
        """For the case that it failed."""
        return self.daemon_log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def _python(self, arguments: list[str], environment: Mapping[str, str], *, output: Any) -> subprocess.Popen[bytes]:
        # The caller's own settings for pgbackfill and libpq must not steer the demonstration.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PGBACKFILL_", "PG"))}
        return self._scratch.spawn(
            [sys.executable, "-m", *arguments],
            cwd=self._folder,
            output=output,
            environment={**kept, **environment},
            as_postgres=False,
        )


async def _wait_streaming(primary: Server) -> None:
    query = "SELECT state = 'streaming' AND replay_lsn IS NOT NULL FROM pg_stat_replication WHERE application_name = $1"
    async with connected(primary.dsn()) as connection:
        with anyio.move_on_after(STREAMING_TIMEOUT_S):
            while True:
                if await connection.fetchval(query, STANDBY):
                    return
                await anyio.sleep(POLL_S)
    raise EmbeddedError(f"the standby did not stream within {STREAMING_TIMEOUT_S:.0f} s.")
