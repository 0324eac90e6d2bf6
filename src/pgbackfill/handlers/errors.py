"""How a call of a handler can fail. Codes of the form of an SQLSTATE; what follows from each is in jobs/failures.py."""

from __future__ import annotations


class HandlerError(Exception):
    """`rows`: how many rows the failed call had; one means that this row is to blame."""

    sqlstate = "PBH01"

    def __init__(self, message: str, *, rows: int = 1) -> None:
        super().__init__(message)
        self.rows = rows


class HandlerRaised(HandlerError):
    """The handler raised an exception, whose class the message begins with."""


class HandlerTimedOut(HandlerError):
    """The call took longer than `handler_timeout_s`."""

    sqlstate = "PBH02"


class RowKeepsChanging(HandlerError):
    """The row was changed by others each time while its new values were computed."""

    sqlstate = "PBH03"


class HandlerUnavailable(HandlerError):
    """The handler raised TryLater."""

    sqlstate = "PBH04"


class WrongAnswer(Exception):
    """What the handler returned cannot be used, whatever the row: the job fails."""
