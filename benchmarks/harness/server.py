"""The server that is measured: an embedded one with stated settings, or one that the caller names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from pgbackfill.embedded import Binaries
from pgbackfill.embedded import Server as EmbeddedServer

MAJOR = 18

SETTINGS = {
    # Three million rows, old and new versions and the index, fit: what is compared is the way of changing rows, not
    # the disk. Memory is only taken as pages are used.
    "shared_buffers": "3GB",
    # No checkpoint starts inside a run: one in three runs would pay for it. Each run begins with its own.
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    # The price of many commits is part of what is compared; the report states what a flush costs on this disk.
    "fsync": "on",
    # Tells when a chunk was committed on the database's own clock (benchmarks/reaction).
    "track_commit_timestamp": "on",
    # A compiled expression would depend on the estimated size of a statement, so differ between the sides.
    "jit": "off",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where to measure. `embedded` tells whether the server lives on this machine for sure, on the same clock."""

    dsn: str
    embedded: bool


@contextlib.contextmanager
def target(dsn: str | None) -> Iterator[Target]:
    """The database of `dsn`, in which the schemas pgbackfill and pgbackfill_bench are used, or a new server."""
    if dsn is not None:
        yield Target(dsn, embedded=False)
        return
    with EmbeddedServer.create(Binaries.find(MAJOR), SETTINGS) as server:
        yield Target(server.dsn(), embedded=True)
