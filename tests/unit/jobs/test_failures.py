"""What an SQLSTATE means for a chunk."""

from __future__ import annotations

import asyncpg
import pytest

from pgbackfill.jobs.failures import Failure, classify


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (asyncpg.DeadlockDetectedError, Failure.LOCKED),
        (asyncpg.LockNotAvailableError, Failure.LOCKED),
        (asyncpg.SerializationError, Failure.RETRY),
        (asyncpg.QueryCanceledError, Failure.SLOW),
        (asyncpg.DivisionByZeroError, Failure.POISON),
        (asyncpg.StringDataRightTruncationError, Failure.POISON),
        (asyncpg.ForeignKeyViolationError, Failure.POISON),
        (asyncpg.CheckViolationError, Failure.POISON),
        (asyncpg.UniqueViolationError, Failure.POISON),
        (asyncpg.RaiseError, Failure.POISON),
        (asyncpg.WithCheckOptionViolationError, Failure.POISON),
        (asyncpg.DiskFullError, Failure.HOLD),
        (asyncpg.OutOfMemoryError, Failure.HOLD),
        (asyncpg.TooManyConnectionsError, Failure.HOLD),
        (asyncpg.AdminShutdownError, Failure.DISCONNECTED),
        (asyncpg.CrashShutdownError, Failure.DISCONNECTED),
        (asyncpg.CannotConnectNowError, Failure.DISCONNECTED),
        (asyncpg.ReadOnlySQLTransactionError, Failure.DISCONNECTED),
        (asyncpg.IdleInTransactionSessionTimeoutError, Failure.DISCONNECTED),
        (asyncpg.ConnectionFailureError, Failure.DISCONNECTED),
        (asyncpg.UndefinedColumnError, Failure.FATAL),
        (asyncpg.InsufficientPrivilegeError, Failure.FATAL),
        (asyncpg.PostgresSyntaxError, Failure.FATAL),
        (asyncpg.FeatureNotSupportedError, Failure.FATAL),
        (asyncpg.InternalServerError, Failure.FATAL),
    ],
)
def test_an_error_of_the_server_has_one_meaning(error: type[asyncpg.PostgresError], failure: Failure) -> None:
    assert error.sqlstate is not None
    assert classify(error.sqlstate) is failure


def test_no_sqlstate_is_a_broken_connection_and_an_unknown_one_ends_the_job() -> None:
    assert classify(None) is Failure.DISCONNECTED
    assert classify("ZZ999") is Failure.FATAL
