"""What is done to the table after the last chunk: NOT NULL, defaults, checks, indexes, statistics, SQL."""

from .step import run

__all__ = ["run"]
