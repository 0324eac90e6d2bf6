"""What an SQLSTATE means for a chunk: classification in one place."""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    RETRY = "retry"
    """Somebody was in the way: the same rows again, half as many at a time, after a moment."""
    LOCKED = "locked"
    """Like RETRY; at one row it is a hold that names the holder of the lock, never a quarantine."""
    SLOW = "slow"
    """Statement time-out: like RETRY; at one row, repeatedly, the row is set aside."""
    POISON = "poison"
    """A row that cannot be changed: bisect to it and set it aside."""
    HOLD = "hold"
    """The server has no room: wait and say so."""
    DISCONNECTED = "disconnected"
    """The connection is of no more use, or this is not the primary: reconnect."""
    FATAL = "fatal"
    """The job's SQL or rights are wrong: the job fails."""


PASSING = frozenset({Failure.RETRY, Failure.LOCKED, Failure.SLOW, Failure.HOLD, Failure.DISCONNECTED})
"""What goes away by itself, so that pgbackfill's own statements wait for it; the rest is wrong and stays wrong."""

_EXACT: dict[str, Failure] = {
    "40001": Failure.RETRY,  # serialization_failure
    "40P01": Failure.LOCKED,  # deadlock_detected
    "55P03": Failure.LOCKED,  # lock_not_available: lock_timeout
    "57014": Failure.SLOW,  # query_canceled: statement_timeout
    "53100": Failure.HOLD,  # disk_full
    "53200": Failure.HOLD,  # out_of_memory
    "53300": Failure.HOLD,  # too_many_connections
    "25006": Failure.DISCONNECTED,  # read_only_sql_transaction: not the primary (any more)
    "25P03": Failure.DISCONNECTED,  # idle_in_transaction_session_timeout
    "25P04": Failure.DISCONNECTED,  # transaction_timeout
    "XX000": Failure.FATAL,
    "P0001": Failure.POISON,  # raise_exception: a trigger or function refuses the row
    "PBH01": Failure.POISON,  # a handler raised an exception (handlers/errors.py)
    "PBH02": Failure.SLOW,  # a handler's call took too long
    "PBH03": Failure.SLOW,  # others change the row each time before its new values can be written
    "PBH04": Failure.HOLD,  # a handler asked to be called again later
}
_BY_CLASS: dict[str, Failure] = {
    "08": Failure.DISCONNECTED,
    "57": Failure.DISCONNECTED,  # operator intervention: shutdown, crash, cannot connect now
    "22": Failure.POISON,  # data exception
    "23": Failure.POISON,  # integrity constraint violation
    "44": Failure.POISON,  # WITH CHECK OPTION violation
    "40": Failure.RETRY,
    "53": Failure.HOLD,
    "58": Failure.HOLD,  # system error, e.g. an I/O error
}


def classify(sqlstate: str | None) -> Failure:
    """What to do about `sqlstate` (five characters; None: the connection broke without one)."""
    if sqlstate is None:
        return Failure.DISCONNECTED
    return _EXACT.get(sqlstate) or _BY_CLASS.get(sqlstate[:2]) or Failure.FATAL
