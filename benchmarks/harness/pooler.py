"""PgBouncer in transaction mode before a server on this machine."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Iterator

from pgbackfill.embedded import Scratch

START_TIMEOUT_S = 60


@contextlib.contextmanager
def pgbouncer(server_port: int, user: str, pool_size: int) -> Iterator[int]:
    """Transaction pooling by Debian's PgBouncer, everything else as it comes; the port that it listens on."""
    scratch = Scratch.of_process()
    folder = scratch.folder("pgbouncer")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (folder / "users").write_text(f'"{user}" ""\n')
    (folder / "ini").write_text(
        f"""
        [databases]
        * = host=127.0.0.1 port={server_port}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = trust
        auth_file = {folder}/users
        pool_mode = transaction
        default_pool_size = {pool_size}
        """
    )
    for file in folder.iterdir():
        scratch.give(file)
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    with (folder / "log").open("ab") as log:
        process = scratch.spawn([program, folder / "ini"], cwd=folder, output=log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _listens(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "PgBouncer did not listen in time"
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(START_TIMEOUT_S)
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
