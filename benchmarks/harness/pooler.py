"""PgBouncer in transaction mode before a server, started as an ordinary user: it refuses root."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Iterator

from pgbackfill.embedded import EmbeddedError, Scratch

HOST = "127.0.0.1"
START_S = 60.0


def program() -> str | None:
    """Where it is, if it is; an ordinary user's path does not lead there."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextlib.contextmanager
def pgbouncer(server_port: int, user: str, pool_size: int = 20) -> Iterator[int]:
    """Its port. Transaction pooling, everything else as it comes, but that a server which comes back is found soon: for
    15 s after it could not be reached, PgBouncer would not even try."""
    scratch = Scratch.of_process()
    folder = scratch.folder("pgbouncer")
    port = _free_port()
    (folder / "users").write_text(f'"{user}" ""\n')
    (folder / "ini").write_text(
        f"""
        [databases]
        * = host={HOST} port={server_port}
        [pgbouncer]
        listen_addr = {HOST}
        listen_port = {port}
        unix_socket_dir =
        auth_type = trust
        auth_file = {folder}/users
        pool_mode = transaction
        default_pool_size = {pool_size}
        server_login_retry = 1
        """
    )
    for file in folder.iterdir():
        scratch.give(file)
    with (folder / "log").open("ab") as log:
        process = scratch.spawn([program() or "pgbouncer", folder / "ini"], cwd=folder, output=log)
    try:
        deadline = time.monotonic() + START_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise EmbeddedError(f"PgBouncer did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
