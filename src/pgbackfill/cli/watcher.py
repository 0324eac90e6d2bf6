"""The loop behind `pgbackfill watch`: looks at the database once a second, draws, and does what the keys say.

It reads the database, as `status` does: there it finds every job of every daemon, with no more than a DSN, wherever the
daemons listen.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from anyio.abc import TaskStatus
from rich.console import Console

from pgbackfill.cli import words
from pgbackfill.database import reports
from pgbackfill.database.connect import connect
from pgbackfill.database.link import Link, passing
from pgbackfill.database.migrate import check_schema
from pgbackfill.database.types import Connection
from pgbackfill.errors import DatabaseUnavailable, UsageError
from pgbackfill.redact import redact
from pgbackfill.screen import Display
from pgbackfill.screen.keys import Keys
from pgbackfill.screen.trace import Trace
from pgbackfill.settings import Settings

LOOK_EVERY_S = 1.0
FINISHED = ("succeeded", "failed", "cancelled")
SAID_FOR_S = 10.0
THROTTLE_FOR = timedelta(minutes=30)
THROTTLE_LEAST = 0.01
CHUNK_TARGETS_MS = tuple(factor * power for power in (1, 10, 100, 1_000, 10_000) for factor in (1, 2, 5))
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Watcher:
    """One run of the command. `name` is the job; None takes the one that works, or else the latest."""

    def __init__(self, settings: Settings, name: str | None, *, plain: bool) -> None:
        self._settings = settings
        self._name = name
        self._plain = plain
        self._link = Link(self._connect)
        self._names: list[str] = []
        self._job: dict[str, Any] = {}
        self._trace = Trace()
        self._notes: list[str] = []
        self._said, self._said_at = "", 0.0
        self._with_keys = False
        self._keys: dict[str, Callable[[Connection], Awaitable[str]]] = {
            "p": lambda connection: self._command(connection, "pause"),
            "r": lambda connection: self._command(connection, "resume"),
            "t": self._throttle,
            "u": self._unthrottle,
            "+": lambda connection: self._retarget(connection, up=True),
            "-": lambda connection: self._retarget(connection, up=False),
            "n": self._next,
        }

    async def run(self) -> int:
        """Until `q`, a signal or, where lines are printed, the end of the job. The exit code."""
        code = 0
        try:
            async with self._link.use() as connection:
                await check_schema(connection)
                await self._look(connection)
            async with anyio.create_task_group() as group:
                await group.start(self._end_on_signal, group.cancel_scope)
                code = await self._watch()
                group.cancel_scope.cancel()
        finally:
            await self._link.close()
        return code

    async def _end_on_signal(self, scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
        # A screen that is not left in order leaves a terminal that shows nothing of what is typed.
        with anyio.open_signal_receiver(*SIGNALS) as received:
            task_status.started()
            async for _ in received:
                scope.cancel()
                return

    async def _watch(self) -> int:
        with Keys() as keys, Display(Console(), plain=self._plain, whole_screen=True) as display:
            self._with_keys = keys.there and not display.plain
            looked_at = time.monotonic()
            while True:
                display.show(self._trace.snapshot(datetime.now(UTC), self._notes, self._footer()))
                if display.plain and self._job["status"] in FINISHED:
                    return 0 if self._job["status"] == "succeeded" else 1
                key = await keys.next(max(0.0, looked_at + LOOK_EVERY_S - time.monotonic()))
                if key in ("q", "Q"):
                    return 0
                if key is None:
                    self._said = "" if time.monotonic() - self._said_at > SAID_FOR_S else self._said
                    looked_at = time.monotonic()
                    await self._try(self._look)
                elif key in self._keys:
                    await self._try(self._act, self._keys[key])

    async def _try(self, do: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """With the connection; what goes wrong is shown and tried again at the next look."""
        try:
            async with self._link.use() as connection:
                await do(connection, *arguments)
        except UsageError as error:
            self._say(str(error))
        except Exception as error:
            if not isinstance(error, DatabaseUnavailable) and not passing(error):
                raise
            self._say(f"The database does not answer ({error}); what is above is old.")

    async def _look(self, connection: Connection) -> None:
        rows = await reports.progress(connection)
        self._names = sorted(row["name"] for row in rows)
        if self._name is None:
            running = [row for row in rows if row["status"] == "running"]
            if not rows:
                raise UsageError("There are no jobs to watch; `pgbackfill enqueue` makes one.")
            self._name = str((running or rows)[0]["name"])
        self._job = await reports.job(connection, self._name)
        self._trace.add(self._job, await reports.signals(connection))
        happened = [words.happened(event) for event in reversed(self._job["events"] or [])]
        self._notes += [redact(note) for note in happened if redact(note) not in self._notes]

    async def _act(self, connection: Connection, key: Callable[[Connection], Awaitable[str]]) -> None:
        self._say(await key(connection))
        await self._look(connection)

    async def _command(self, connection: Connection, action: reports.Action) -> str:
        return words.told(await reports.command(connection, self._job["name"], action))

    async def _throttle(self, connection: Connection) -> str:
        ratio = max(THROTTLE_LEAST, (self._job["throttle_ratio"] or 1.0) / 2)
        until = await reports.throttle(connection, self._job["name"], ratio, THROTTLE_FOR)
        return words.throttled(await reports.progress_of(connection, self._job["name"]), ratio, until)

    async def _unthrottle(self, connection: Connection) -> str:
        ended = await reports.unthrottle(connection, self._job["name"])
        return words.unthrottled(await reports.progress_of(connection, self._job["name"]), ended)

    async def _retarget(self, connection: Connection, *, up: bool) -> str:
        now = self._target_ms
        others = [each for each in CHUNK_TARGETS_MS if (each > now if up else each < now)]
        if not others:
            return f"chunk_target_ms is {now} and goes no further."
        wanted = min(others) if up else max(others)
        await reports.set_option(connection, self._job["name"], "chunk_target_ms", wanted)
        return f"{self._job['name']} aims at chunks of {wanted} ms, was {now}."

    async def _next(self, connection: Connection) -> str:
        place = self._names.index(self._job["name"]) if self._job["name"] in self._names else -1
        self._name = self._names[(place + 1) % len(self._names)]
        self._trace, self._notes = Trace(), []
        return ""

    @property
    def _target_ms(self) -> int:
        return int((self._job.get("options") or {}).get("chunk_target_ms", self._settings.chunk_target_ms))

    def _say(self, sentence: str) -> None:
        self._said, self._said_at = redact(sentence), time.monotonic()
        if not self._with_keys and self._said not in self._notes[-1:]:  # there is no line for it
            self._notes.append(self._said)

    def _footer(self) -> list[str]:
        if not self._with_keys:
            return []
        place = (
            f" ({self._names.index(self._name or '') + 1} of {len(self._names)})" if self._name in self._names else ""
        )
        return [
            self._said,
            f"[p]ause [r]esume  [t]hrottle [u]nthrottle  [+] [-] chunk target {self._target_ms} ms",
            f"[n]ext job{place}  [q]uit",
        ]

    async def _connect(self) -> Connection:
        dsn = self._settings.dsn.get_secret_value()
        return await connect(dsn, settings=self._settings, purpose="watch", require_primary=True)
