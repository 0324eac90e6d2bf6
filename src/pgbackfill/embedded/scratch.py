"""The temporary folder and the process group in which everything embedded lives, guarded by a keeper process."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from pgbackfill.embedded import keeper
from pgbackfill.errors import PgbackfillError

# Linux allows 107 bytes in a socket's path, macOS 103; "/server-99/.s.PGSQL.65535" and the folder's own name need 50.
LONGEST_PARENT_BYTES = 53


class EmbeddedError(PgbackfillError):
    """An embedded Postgres could not be prepared or started."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system user under which Postgres runs; it refuses to run as root."""

    name: str
    uid: int
    gid: int

    @classmethod
    def for_postgres(cls) -> Account | None:
        """None: the current user. For root an existing one, because Postgres looks its own uid up."""
        if os.geteuid() != 0:
            return None
        entry = pwd.getpwnam("nobody")
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)


class Scratch:
    """One folder and one process group a Python process, made on first use.

    Both vanish when the process ends, however it ends: on a normal exit before it is over, otherwise (SIGTERM, SIGKILL,
    a closed terminal) within moments after.
    """

    _current: ClassVar[Scratch | None] = None
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.account = Account.for_postgres()
        parent = _parent_folder(self.account is not None)
        self._owner_pid = os.getpid()
        self._closed = False
        self._numbers = 0
        self._processes: list[subprocess.Popen[bytes]] = []
        ours, theirs = socket.socketpair()
        alive_read, alive_write = os.pipe()
        self._lifeline, self._alive_read, self._alive_write = ours, alive_read, alive_write
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(parent), str(theirs.fileno()), str(alive_read)],
            pass_fds=(theirs.fileno(), alive_read),
            process_group=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        theirs.close()
        self.path = Path(os.fsdecode(self._told()))

    def _told(self) -> bytes:
        """The folder's path, which the keeper says once it is ready."""
        told = b""
        while not told.endswith(b"\0"):
            if not (part := self._lifeline.recv(4096)):
                raise EmbeddedError("the process that cleans up after an embedded Postgres did not start.")
            told += part
        return told[:-1]

    @classmethod
    def of_process(cls) -> Scratch:
        """The one of this process; a new one after `close`, or in a forked child."""
        with cls._lock:
            current = cls._current
            if current is None or current._closed or current._owner_pid != os.getpid():
                current = cls._current = cls()
                atexit.register(current.close)
            return current

    def folder(self, label: str) -> Path:
        """A new folder, owned by the account that runs Postgres and closed to everybody else."""
        with self._lock:
            self._numbers += 1
            path = self.path / f"{label}-{self._numbers}"
        path.mkdir(mode=0o700)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Make the account that runs Postgres the owner."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)

    def spawn(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        output: IO[bytes] | int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
        as_postgres: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Start a process that ends with this one at the latest.

        Without `environment` it gets a bare one: PG* variables of the caller must not steer the server's programs.
        """
        if self._closed:
            raise EmbeddedError("the embedded Postgres is being stopped.")
        account = self.account if as_postgres else None
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(environment) if environment is not None else _bare_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(self._alive_write,),
            process_group=self._keeper.pid,
            umask=0o077,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
        self._processes = [*(other for other in self._processes if other.poll() is None), process]
        return process

    def run(self, command: Sequence[str | Path], *, cwd: Path) -> str:
        """Run a program of Postgres to its end and return what it wrote; raise what it said when it fails."""
        with self.spawn(command, cwd=cwd, output=subprocess.PIPE) as process:
            try:
                written = process.communicate()[0].decode(errors="replace").strip()
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            name = Path(command[0]).name
            raise EmbeddedError(f"{name} failed with exit code {process.returncode}: {written[-2000:]}")
        return written

    def close(self) -> None:
        """Stop every process, delete the folder, and return when both is done."""
        if self._closed or self._owner_pid != os.getpid():
            return
        self._closed = True
        os.close(self._alive_write)
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)
            while self._lifeline.recv(4096):
                pass
        self._lifeline.close()
        if self.path.exists():  # somebody killed the keeper
            keeper.clean(str(self.path), self._keeper.pid, self._alive_read)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._keeper.pid, signal.SIGKILL)
        os.close(self._alive_read)
        for process in (*self._processes, self._keeper):
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _bare_environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _parent_folder(for_others: bool) -> Path:
    # Not tempfile.gettempdir(): it tries a file of its own, which stays where the process is killed meanwhile.
    wished = [Path(wish).resolve() for name in ("TMPDIR", "TEMP", "TMP") if (wish := os.environ.get(name))]
    candidates = [*wished, Path("/tmp").resolve(), Path("/var/tmp")]
    for path in candidates:
        if len(os.fsencode(path)) > LONGEST_PARENT_BYTES or not os.access(path, os.W_OK | os.X_OK):
            continue
        if not for_others or all(part.stat().st_mode & 0o001 for part in (path, *path.parents)):
            return path
    names = ", ".join(map(str, candidates))
    raise EmbeddedError(
        f"no folder for temporary files can be used ({names}): set TMPDIR to a short path that every user can enter."
    )
