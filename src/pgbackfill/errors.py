"""The errors that people meet. Each message is one sentence that says what to do."""

from __future__ import annotations


class PgbackfillError(Exception):
    """Anything that ends a command with a sentence instead of a traceback; `exit_code` as documented for the CLI."""

    exit_code = 1


class UsageError(PgbackfillError):
    """Bad configuration or arguments."""

    exit_code = 2


class DatabaseUnavailable(PgbackfillError):
    """The database cannot be reached or cannot be used.

    `brief` is the same as a few words, for the reason of a hold; `full` says that the server has no room for us.
    """

    exit_code = 3

    def __init__(self, sentence: str, *, brief: str | None = None, full: bool = False) -> None:
        super().__init__(sentence)
        self.brief = brief or sentence
        self.full = full


class SchemaMismatch(DatabaseUnavailable):
    """The schema `pgbackfill` is missing, too old or too new."""


class JobRefused(UsageError):
    """Postgres refused a job at INSERT; the message names the column."""


class JobFailed(PgbackfillError):
    """A job cannot go on: wrong SQL, missing rights, too many quarantined rows."""


class LeaseLost(PgbackfillError):
    """The range row no longer carries this claim's epoch and token: somebody else works on it."""
