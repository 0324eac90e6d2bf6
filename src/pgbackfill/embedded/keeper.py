"""The process that outlives its owner by a moment and leaves nothing behind.

Run as a script, with nothing but the standard library, in the process group that it guards. It waits until the owner
closes its end of a socket, which the kernel also does when the owner is killed, then stops every process of the group
and deletes the folder. So no signal handler, `finally` or `atexit` has to be reached for the cleaning to happen.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

# Postgres ends within milliseconds of SIGQUIT; a machine that swaps gets this long before SIGKILL.
QUIT_GRACE_S = 5.0
KILL_GRACE_S = 5.0
DELETE_ATTEMPTS = 20


def _wait_for_end(alive_fd: int, seconds: float) -> bool:
    """True once every process that inherited the other end of `alive_fd` has ended."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([alive_fd], [], [], left)[0] and not os.read(alive_fd, 4096):
            return True
    return False


def clean(folder: str, group: int, alive_fd: int) -> None:
    """Stop the processes of the group, SIGQUIT first, then delete the folder.

    SIGQUIT is Postgres's immediate shutdown: what is in the folder is about to be deleted.
    """
    for number, grace_s in ((signal.SIGQUIT, QUIT_GRACE_S), (signal.SIGKILL, KILL_GRACE_S)):
        # The group is gone once its last process is.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
        if _wait_for_end(alive_fd, grace_s):
            break
    for _ in range(DELETE_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(0.05)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


def _make_folder(parent: str) -> str:
    """Made here and not by the owner, who may be killed before it has started a keeper. Others may enter, because the
    servers run as another user where the owner is root."""
    folder = Path(parent) / f"pgbackfill-{os.urandom(4).hex()}"
    folder.mkdir()
    folder.chmod(0o755)
    return str(folder)


def main(parent: str, owner_fd: int, alive_fd: int) -> None:
    """Two processes: the group's leader, which only keeps the group's number taken, and its child, which leaves the
    group so that it survives killing it. The owner is told the folder's path, with a zero byte after it."""
    _ignore_signals()
    group = os.getpid()
    child = os.fork()
    if child:
        os.close(owner_fd)
        os.close(alive_fd)
        os.waitpid(child, 0)
        return
    os.setsid()
    os.chdir("/")
    owner = socket.socket(fileno=owner_fd)
    folder = _make_folder(parent)
    try:
        owner.sendall(os.fsencode(folder) + b"\0")
        while owner.recv(4096):
            pass
    except OSError:
        pass  # the owner is gone already
    clean(folder, group, alive_fd)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
