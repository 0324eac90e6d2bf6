"""Says why the database cannot be used: in one sentence with what would help, and in a few words for a hold."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from pgbackfill.database.dsn import Dsn
from pgbackfill.errors import DatabaseUnavailable
from pgbackfill.handlers.errors import HandlerError
from pgbackfill.jobs.failures import Failure, classify
from pgbackfill.redact import redact

DISCONNECTED = "disconnected"
SERVER_FULL = "server_full"
UNWRITABLE = frozenset({DISCONNECTED, SERVER_FULL})
"""First words of the holds during which pgbackfill's own tables cannot be counted on."""

HANDLER_UNAVAILABLE = "handler_unavailable"

_KIND = {Failure.HOLD: SERVER_FULL, Failure.DISCONNECTED: DISCONNECTED, Failure.LOCKED: "table_locked"}


def hold_reason(error: BaseException) -> str:
    """Why nothing can run, in one form for all: a kind, what was said, and in brackets the SQLSTATE or where it was.

    `disconnected connection refused (database shop on 10.0.0.5:5432 as app)`,
    `server_full could not extend file "base/5/16390": No space left on device (53100)`.
    """
    if isinstance(error, DatabaseUnavailable):
        return f"{SERVER_FULL if error.full else DISCONNECTED} {error.brief}"
    if isinstance(error, asyncpg.PostgresError):
        return f"{_KIND.get(classify(error.sqlstate), 'server_busy')} {first_line(error)} ({error.sqlstate})"
    if isinstance(error, TimeoutError) and not error.args:
        return f"{DISCONNECTED} no answer in time"
    if isinstance(error, HandlerError):
        return f"{HANDLER_UNAVAILABLE} {first_line(error)}"
    return f"{DISCONNECTED} {first_line(error)}"


def first_line(error: BaseException) -> str:
    """What an error says, at most 500 characters, without its details, which may quote rows."""
    text = str(error.args[0]) if isinstance(error, asyncpg.PostgresError) and error.args else str(error)
    return (text or type(error).__name__).splitlines()[0][:500].rstrip(".")


def unavailable(error: BaseException, target: Dsn) -> DatabaseUnavailable:
    """The error as a sentence without secrets; the caller keeps the original as its cause."""
    brief, sentence = _words(error, target)
    full = isinstance(error, asyncpg.PostgresError) and classify(error.sqlstate) is Failure.HOLD
    return DatabaseUnavailable(redact(sentence), brief=redact(f"{brief} ({target})"), full=full)


def none_will_do(failures: Sequence[DatabaseUnavailable], target: Dsn) -> DatabaseUnavailable:
    """Several hosts, and what is wrong with each."""
    each = "; ".join(failure.brief for failure in failures)
    return DatabaseUnavailable(
        f"None of the hosts of the {target} will do: {each}.",
        brief=f"no host will do: {each}",
        full=all(failure.full for failure in failures),
    )


def _words(error: BaseException, target: Dsn) -> tuple[str, str]:
    said = " ".join(str(error).split()).rstrip(".")
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return f"login refused: {said}", (
                f"The {target} refused the login: {said}; check user, password and pg_hba.conf."
            )
        case asyncpg.InvalidCatalogNameError():
            return "no such database", f"The {target} does not exist; create it or correct the DSN."
        case asyncpg.TooManyConnectionsError():
            return f"no connection left: {said}", (
                f"The {target} has no connection left: {said}; raise max_connections or close others."
            )
        case asyncpg.CannotConnectNowError():
            return said, f"The {target} does not take connections now: {said}; try again when it is up."
        case asyncpg.InsufficientPrivilegeError():
            return said, f"The {target} refused: {said}; grant what is missing."
        case asyncpg.TargetServerAttributeNotMatched():
            wanted = target.parameters.get("target_session_attrs", "")
            return f"not {wanted}", f"The {target} is not what target_session_attrs={wanted} asks for; name another."
        case asyncpg.ProtocolViolationError() if "startup parameter" in said:
            return f"pooler refused: {said}", (
                f"The pooler before the {target} refused: {said}; leave that option out of the DSN."
            )
        case asyncpg.PostgresError():
            return f"{said}, {error.sqlstate}", (
                f"The {target} answered: {said}; it has to be put right there (SQLSTATE {error.sqlstate})."
            )
        case _:
            return _network_words(error, said, target)


def _network_words(error: BaseException, said: str, target: Dsn) -> tuple[str, str]:
    match error:
        case ssl.SSLCertVerificationError():
            return f"certificate not valid: {error.verify_message}", (
                f"The certificate of the {target} is not valid: {error.verify_message}; check sslrootcert and the host."
            )
        case ssl.SSLError():
            return f"TLS failed: {error.reason or said}", (
                f"TLS to the {target} failed: {error.reason or said}; check sslmode."
            )
        case socket.gaierror():
            return "host has no address", f"The host of the {target} has no address; check its name."
        case FileNotFoundError() if missing := _missing_file(target):
            return f"no file {missing}", f"The file of the DSN option {missing} is not there; correct its path."
        case ConnectionError() if "rejected SSL upgrade" in said:
            return "no TLS there", (
                f"The {target} speaks no TLS; set sslmode=prefer, or let its server have a certificate."
            )
        case ConnectionRefusedError() | FileNotFoundError():
            return _refused(target)
        case _ if "Connect call failed" in said:
            return _refused(target)
        case _:
            said = said or type(error).__name__
            return said, f"The connection to the {target} failed: {said}; it can be tried again."


def _refused(target: Dsn) -> tuple[str, str]:
    return "connection refused", f"The {target} does not listen there; check address and port, and that it runs."


def _missing_file(target: Dsn) -> str | None:
    for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
        path = target.parameters.get(name, "")
        if path and path != "system" and not Path(path).exists():
            return f"{name}={path}"
    return None
