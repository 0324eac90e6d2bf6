"""Daemons as processes, which may be killed, frozen and woken; each has a wire of its own to be cut off by."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from .wire import Wire

LEASE_S = 5
"""The shortest that the settings allow."""

READY_S = 60.0
POLL_S = 0.02

SETTINGS = {
    "PGBACKFILL_HTTP__ENABLED": "false",
    "PGBACKFILL_LEASE_S": str(LEASE_S),
    "PGBACKFILL_LOG__LEVEL": "debug",
    # Whatever else this machine does slows the canaries down, and is not what this is about.
    "PGBACKFILL_LATENCY_SLACK_MS": "30000",
}


class Broken(Exception):
    """A promise was not kept, other than that of the rows: said in one sentence."""


class Daemon:
    """One `pgbackfill run`."""

    def __init__(self, dsn: str, log: Path, wire: Wire | None, settings: dict[str, str]) -> None:
        self.wire = wire
        self._log = log
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COVERAGE"))}
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pgbackfill", "run"],
                env=kept | SETTINGS | {"PGBACKFILL_DSN": dsn} | settings,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    @property
    def text(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def worker(self) -> int | None:
        """Its id in `pgbackfill.workers`, once it is ready."""
        found = self.events("ready")
        return int(found[0]["worker"]) if found else None

    def events(self, event: str) -> list[dict[str, Any]]:
        """Log lines of this event, oldest first."""
        marked = f'"event": "{event}"'
        return [json.loads(line) for line in self.text.splitlines() if marked in line and line.endswith("}")]

    def alive(self) -> bool:
        return self.process.poll() is None

    async def ready(self) -> Daemon:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                while self.alive():
                    if self.worker is not None:
                        return self
                    await asyncio.sleep(POLL_S)
        raise Broken(f"a daemon did not get ready:\n{self.text[-2000:]}")

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        """At once, and with it everything that its host knows of its connections."""
        self.process.kill()
        self.process.wait()

    async def killed(self) -> None:
        """Kills it where it still lives; its wire is cut, as its host would do."""
        self.kill()
        if self.wire is not None:
            self.wire.cut()

    async def stopped(self) -> None:
        """Asks it to end, which it must do well; raises Broken."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self.process.wait, READY_S)
        self.sound()
        if self.process.returncode != 0:
            raise Broken(f"a daemon ended with {self.process.returncode}:\n{self.text[-2000:]}")

    def sound(self) -> None:
        """Raises Broken where its log tells of a defect."""
        if "Traceback" in self.text or "defect" in self.text:
            raise Broken(f"a daemon has a defect:\n{self.text[-4000:]}")


class Fleet:
    """The daemons of one course."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._numbers = count()
        self.daemons: list[Daemon] = []

    @classmethod
    @asynccontextmanager
    async def gathered(cls, folder: Path) -> AsyncIterator[Fleet]:
        """At the end nobody is left, and nobody was unsound."""
        async with AsyncExitStack() as stack:
            fleet = cls(folder, stack)
            try:
                yield fleet
                for daemon in fleet.daemons:
                    daemon.send(signal.SIGCONT)
                for daemon in fleet.alive():
                    await daemon.stopped()
            except BaseException:
                for daemon in fleet.alive():
                    print(f"the end of the log of worker {daemon.worker}:\n{daemon.text[-3000:]}", file=sys.stderr)
                raise
            finally:
                for daemon in fleet.daemons:
                    daemon.kill()
            for daemon in fleet.daemons:
                daemon.sound()

    def alive(self) -> list[Daemon]:
        return [daemon for daemon in self.daemons if daemon.alive()]

    async def start(self, dsn: str, *, target: int | None = None, **settings: str) -> Daemon:
        """A daemon that is ready. With `target` it has a wire to that port of its own, which goes into `dsn` at %s."""
        wire = None
        if target is not None:
            wire = await self._stack.enter_async_context(Wire(target).running())
            dsn %= wire.port
        given = {f"PGBACKFILL_{name.upper()}": value for name, value in settings.items()}
        daemon = Daemon(dsn, self.folder / f"daemon-{next(self._numbers)}.log", wire, given)
        self.daemons.append(daemon)
        return await daemon.ready()

    def of(self, worker: int | None) -> Daemon | None:
        """The living daemon with this id."""
        return next((daemon for daemon in self.alive() if daemon.worker == worker), None)
