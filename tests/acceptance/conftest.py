"""pgbackfill as its users have it: commands and daemons are processes, jobs are rows, the database is real."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

DEADLINE_S = 60.0
"""Until then a condition has to come true; only a failure takes so long."""

LOOK_EVERY_S = 0.02

COMMAND = [sys.executable, "-W", "error", "-m", "pgbackfill"]


async def until(condition: Callable[[], Awaitable[Any]], what: Callable[[], str] | str) -> Any:
    """The first true answer of `condition`; fails with `what` after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = await condition()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"never came true: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(LOOK_EVERY_S)


def environment(dsn: str, **settings: object) -> dict[str, str]:
    """That of a new shell; `settings` are PGBACKFILL_* without the prefix, in small letters."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COVERAGE"))}
    given = {f"PGBACKFILL_{name.upper()}": str(value) for name, value in settings.items()}
    return {**kept, "PGBACKFILL_DSN": dsn, **given}


class Daemon:
    """One `pgbackfill run`, its log in a file. `port` is where it answers HTTP."""

    def __init__(self, arguments: tuple[str, ...], env: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*COMMAND, "run", *arguments], env=env, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )

    @property
    def text(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def entries(self, **values: object) -> list[dict[str, Any]]:
        """Log lines with these values, oldest first."""
        lines = (json.loads(line) for line in self.text.splitlines(keepends=True) if line.endswith("\n"))
        return [entry for entry in lines if all(entry.get(key) == value for key, value in values.items())]

    def events(self, event: str, **values: object) -> list[dict[str, Any]]:
        return self.entries(event=event, **values)

    async def logged(self, event: str, *, times: int = 1, **values: object) -> dict[str, Any]:
        """Waits until this was logged so often; the latest."""

        async def look() -> dict[str, Any] | None:
            found = self.events(event, **values)
            if len(found) < times and self.process.poll() is not None:
                pytest.fail(f"ended with {self.process.returncode} before it logged {event!r} {values}:\n{self.text}")
            return found[-1] if len(found) >= times else None

        found: dict[str, Any] = await until(look, lambda: f"log {event!r} {values} in:\n{self.text[-4000:]}")
        return found

    async def ready(self) -> Daemon:
        await self.logged("ready")
        return self

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Waits for the end; the exit code."""

        async def look() -> bool:
            return self.process.poll() is not None

        await until(look, lambda: f"end of the daemon:\n{self.text[-4000:]}")
        return self.process.returncode

    async def stop(self) -> int:
        self.send(signal.SIGTERM)
        return await self.ended()

    async def port(self) -> int:
        return int((await self.logged("http listens"))["port"])

    async def get(self, path: str) -> tuple[int, str]:
        return await self._http(path, None, {})

    async def post(self, path: str, **headers: str) -> tuple[int, str]:
        return await self._http(path, b"", headers)

    async def post_json(self, path: str, content: object) -> tuple[int, Any]:
        """The status and the decoded answer."""
        status, text = await self._http(path, json.dumps(content).encode(), {})
        return status, json.loads(text)

    async def _http(self, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, str]:
        url = f"http://127.0.0.1:{await self.port()}{path}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            headers["Content-Type"] = "application/json"

        def ask() -> tuple[int, str]:
            request = urllib.request.Request(url, data=data, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        return await asyncio.to_thread(ask)

    async def metrics(self) -> dict[str, float]:
        """Samples by name and labels as in the exposition."""
        status, text = await self.get("/metrics")
        assert status == 200, text
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def end(self) -> None:
        """Whatever state it is in; a traceback in its log is always a defect."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert "Traceback" not in self.text, self.text
        assert "defect" not in self.text, self.text


@dataclass
class Site:
    """A user's database and what the user does there. `connection` is a superuser's."""

    database: Any
    connection: asyncpg.Connection[Any]
    folder: Path
    daemons: list[Daemon] = field(default_factory=list)

    async def table(self, name: str, rows: int) -> None:
        """Rows with keys from 1 and n = 0."""
        await self.connection.execute(
            f"CREATE TABLE {name} (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, note text);"
            f"INSERT INTO {name} SELECT i FROM generate_series(1, {rows}) AS i; ANALYZE {name}"
        )

    async def enqueue(self, name: str, table: str, **columns: Any) -> None:
        """A job; unless told otherwise it counts n up once in every row."""
        row = {"name": name, "table_name": table, "set_clause": "n = n + 1"} | columns
        row = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in row.items()}
        places = ", ".join(f"${i}" for i in range(1, len(row) + 1))
        await self.connection.execute(
            f"INSERT INTO pgbackfill.jobs ({', '.join(row)}) VALUES ({places})", *row.values()
        )

    async def slow_job(self, name: str, table: str, rows: int = 20_000, **columns: Any) -> None:
        """A table and a job that takes minutes in chunks of 10 rows, unless somebody calls `hurry`."""
        await self.table(table, rows)
        await self.enqueue(name, table, **({"options": {"chunk_max_rows": 10, "max_rows_per_s": 300}} | columns))

    async def hurry(self, name: str) -> None:
        await self.connection.execute("UPDATE pgbackfill.jobs SET options = '{}' WHERE name = $1", name)

    async def want(self, name: str, state: str) -> None:
        await self.connection.execute("UPDATE pgbackfill.jobs SET desired_state = $2 WHERE name = $1", name, state)

    async def progress(self, name: str) -> dict[str, Any]:
        return dict(await self.connection.fetchrow("SELECT * FROM pgbackfill.progress WHERE name = $1", name))

    async def range(self, name: str) -> dict[str, Any]:
        """The job's one range; {} before it has any."""
        row = await self.connection.fetchrow(
            "SELECT r.* FROM pgbackfill.ranges r JOIN pgbackfill.jobs j ON j.id = r.job_id WHERE j.name = $1", name
        )
        return dict(row or {})

    async def reaches(self, name: str, status: str) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            row = await self.progress(name)
            return row if row["status"] == status else None

        found: dict[str, Any] = await until(look, f"{name} is {status}")
        return found

    async def held(self, name: str, start: str) -> dict[str, Any]:
        """Waits until progress shows a hold whose reason begins so."""

        async def look() -> dict[str, Any] | None:
            row = await self.progress(name)
            return row if (row["hold_reason"] or "").startswith(start) else None

        found: dict[str, Any] = await until(look, f"{name} is held: {start}")
        return found

    async def chunks(self, name: str, more_than: int = 2) -> int:
        """Waits until the job has committed more chunks than that; how many."""

        async def look() -> int | None:
            count = (await self.range(name)).get("chunk_no", 0)
            return count if count > more_than else None

        found: int = await until(look, f"{name} has more than {more_than} chunks")
        return found

    async def true(self, sql: str, *arguments: object) -> None:
        """Waits until this query answers true."""
        await until(lambda: self.connection.fetchval(sql, *arguments), sql)

    async def changed_once(self, table: str) -> None:
        wrong = await self.connection.fetch(f"SELECT n, count(*) FROM {table} WHERE n <> 1 GROUP BY n")
        assert wrong == [], wrong

    def daemon(self, *arguments: str, dsn: str | None = None, **settings: object) -> Daemon:
        # Other tests run beside this one, and their load is not what it is about.
        defaults = {"http__enabled": "false", "heartbeat_s": 0.5, "latency_slack_ms": 30_000}
        env = environment(dsn or self.database.dsn, **(defaults | settings))
        daemon = Daemon(arguments, env, self.folder / f"daemon-{len(self.daemons)}.log")
        self.daemons.append(daemon)
        return daemon

    async def running(self, *arguments: str, **settings: Any) -> Daemon:
        """A daemon that is ready."""
        return await self.daemon(*arguments, **settings).ready()

    async def cli(
        self, *arguments: str, dsn: str | None = None, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end. Whatever it says, it is not a traceback."""
        done = await asyncio.to_thread(
            subprocess.run,
            [*COMMAND, *arguments],
            env=environment(dsn or self.database.dsn, **settings),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done


@asynccontextmanager
async def _site(database: Any, folder: Path) -> AsyncIterator[Site]:
    site = Site(database, await database.connect(), folder)
    try:
        yield site
    finally:
        for daemon in site.daemons:
            if daemon.process.poll() is None:
                daemon.process.kill()
        for daemon in site.daemons:
            daemon.end()


@pytest.fixture
async def site(database: Any, tmp_path: Path) -> AsyncIterator[Site]:
    async with _site(database, tmp_path) as site:
        yield site


@pytest.fixture
async def paired_site(pair: Any, tmp_path: Path) -> AsyncIterator[Site]:
    """On a primary with a streaming standby; whoever pauses replay resumes it."""
    async with _site(pair.database, tmp_path) as site:
        yield site


@pytest.fixture
async def own_site(own_pair: Any, tmp_path: Path) -> AsyncIterator[Site]:
    """On servers of this test's own, which may be restarted and stopped."""
    async with _site(own_pair.database, tmp_path) as site:
        yield site


@pytest.fixture(name="until")
def _until() -> Callable[..., Awaitable[Any]]:
    return until
