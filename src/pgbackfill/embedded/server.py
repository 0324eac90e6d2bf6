"""A real Postgres server that lives in a temporary folder and ends with this process at the latest."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from pgbackfill.embedded.binaries import Binaries
from pgbackfill.embedded.scratch import EmbeddedError, Scratch

StopMode = Literal["smart", "fast", "immediate"]

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.02
START_ATTEMPTS = 5
# Line of postmaster.pid that says how far the server is, as pg_ctl reads it.
STATUS_LINE = 7
STOP_SIGNALS: dict[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


class Server:
    """One running server, on a free port of 127.0.0.1 and on a Unix socket in its own folder.

    Any database user is trusted; only the loopback interface is listened on. Leaving the context stops the server and
    deletes its folder.
    """

    def __init__(self, binaries: Binaries, scratch: Scratch, folder: Path, user: str) -> None:
        self.binaries = binaries
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.user = user
        self.port = _free_port()
        self._scratch = scratch
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(cls, binaries: Binaries, settings: Mapping[str, str] | None = None, *, user: str = "postgres") -> Self:
        """A new cluster, started and ready; `settings` are lines of postgresql.conf."""
        scratch = Scratch.of_process()
        server = cls(binaries, scratch, scratch.folder("server"), user)
        with server._removed_on_failure():
            command: list[str | Path] = [binaries["initdb"], "-D", server.data, "-U", user, "-A", "trust"]
            scratch.run([*command, "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"], cwd=server.folder)
            server.configure(settings or {})
            server.start()
        return server

    @classmethod
    def standby(
        cls,
        primary: Server,
        name: str,
        *,
        conninfo_port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Self:
        """A streaming standby with its own slot, started and ready for reads.

        `name` is its application_name on the primary, and the slot's with `-` as `_`. With `conninfo_port` it streams
        through that port of 127.0.0.1, a proxy in front of the primary; the base backup is taken directly.
        """
        scratch = Scratch.of_process()
        server = cls(primary.binaries, scratch, scratch.folder("server"), primary.user)
        with server._removed_on_failure():
            command: list[str | Path] = [primary.binaries["pg_basebackup"], "-h", HOST, "-p", str(primary.port)]
            slot = name.replace("-", "_")
            command += ["-U", primary.user]
            command += ["-D", server.data, "-R", "-C", "-S", slot, "-X", "stream", "-c", "fast", "--no-sync"]
            scratch.run(command, cwd=server.folder)
            conninfo = f"host={HOST} port={conninfo_port or primary.port} user={primary.user} application_name={name}"
            with (server.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
                # The last line of a setting counts, so this replaces what -R wrote.
                file.write(f"primary_conninfo = '{conninfo}'\n")
            # 100 ms, default 5 s: a link that was cut is used again soon after it is back.
            server.configure({"wal_retrieve_retry_interval": "100ms", **(settings or {})})
            server.start()
        return server

    def dsn(self, database: str = "postgres", *, user: str | None = None, host: str | None = None) -> str:
        """A URL for asyncpg and libpq; `host` may be the folder of the Unix socket, `server.folder`."""
        place = f"{quote(user or self.user, safe='')}@{HOST}:{self.port}/{quote(database, safe='')}"
        if host is None:
            return f"postgresql://{place}"
        name = quote(database, safe="")
        return f"postgresql://{quote(user or self.user, safe='')}@/{name}?host={quote(host, safe='')}&port={self.port}"

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        if self._process is None or self._process.poll() is not None:
            raise EmbeddedError("the embedded Postgres is not running.")
        return self._process.pid

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append to postgresql.conf; takes effect at the next start or reload."""
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            for name, value in settings.items():
                escaped = value.replace("'", "''")
                file.write(f"{name} = '{escaped}'\n")

    def reload(self) -> None:
        """Make the server read its configuration files again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        """Start and wait until connections are accepted; raises EmbeddedError with the end of the log."""
        for attempt in range(START_ATTEMPTS):
            self._launch()
            try:
                self._wait_ready()
                return
            except EmbeddedError as error:
                # Between choosing a free port and listening on it, another process may have taken it.
                if "could not bind" not in str(error) or attempt + 1 == START_ATTEMPTS:
                    raise
                self.port = _free_port()

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop and wait for the end; a server that is not running is left alone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(STOP_SIGNALS[mode])
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise EmbeddedError(f"the embedded Postgres did not stop within {STOP_TIMEOUT_S:.0f} s.") from None

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start on the same port."""
        self.stop(mode)
        self.start()

    def promote(self) -> None:
        """Turn a standby into a primary and wait until it is one."""
        self._scratch.run([self.binaries["pg_ctl"], "promote", "-w", "-D", self.data], cwd=self.folder)

    def remove(self) -> None:
        """Stop and delete the folder."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @contextlib.contextmanager
    def _removed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.remove()
            raise

    def _launch(self) -> None:
        # What a killed server left: its status line would be taken for the new server's.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        command: list[str | Path] = [self.binaries["postgres"], "-D", self.data, "-p", str(self.port)]
        command += ["-c", f"listen_addresses={HOST}", "-c", f"unix_socket_directories={self.folder}"]
        with self.log.open("ab") as log:
            self._process = self._scratch.spawn(command, cwd=self.data, output=log)

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise EmbeddedError(f"the embedded Postgres did not start: {self._end_of_log()}")
            with contextlib.suppress(FileNotFoundError):
                lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
                if len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() in ("ready", "standby"):
                    return
            time.sleep(POLL_S)
        self.stop("immediate")
        raise EmbeddedError(f"the embedded Postgres was not ready after {START_TIMEOUT_S:.0f} s: {self._end_of_log()}")

    def _end_of_log(self) -> str:
        return " ".join(self.log.read_text(encoding="utf-8", errors="replace").split("\n")[-12:]).strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
