"""Says in one sentence why the database cannot be used, and what would help."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import asyncpg

from pgbackfill.database.dsn import Dsn
from pgbackfill.errors import DatabaseUnavailable
from pgbackfill.redact import redact


def unavailable(error: BaseException, target: Dsn) -> DatabaseUnavailable:
    """The error as a sentence without secrets; the caller keeps the original as its cause."""
    return DatabaseUnavailable(redact(_sentence(error, target)))


def _sentence(error: BaseException, target: Dsn) -> str:
    said = " ".join(str(error).split()).rstrip(".")
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return f"The {target} refused the login: {said}; check user, password and pg_hba.conf."
        case asyncpg.InvalidCatalogNameError():
            return f"The {target} does not exist; create it or correct the DSN."
        case asyncpg.TooManyConnectionsError():
            return f"The {target} has no connection left: {said}; raise max_connections or close others."
        case asyncpg.CannotConnectNowError():
            return f"The {target} does not take connections now: {said}; try again when it is up."
        case asyncpg.InsufficientPrivilegeError():
            return f"The {target} refused: {said}; grant what is missing."
        case asyncpg.TargetServerAttributeNotMatched():
            return f"None of the hosts of the {target} is what target_session_attrs asks for; name the primary."
        case asyncpg.ProtocolViolationError() if "startup parameter" in said:
            return f"The pooler before the {target} refused: {said}; leave that option out of the DSN."
        case ssl.SSLCertVerificationError():
            return (
                f"The certificate of the {target} is not valid: {error.verify_message}; check sslrootcert and the host."
            )
        case ssl.SSLError():
            return f"TLS to the {target} failed: {error.reason or said}; check sslmode."
        case socket.gaierror():
            return f"The host of the {target} has no address; check its name."
        case FileNotFoundError() if missing := _missing_file(target):
            return f"The file of the DSN option {missing} is not there; correct its path."
        case ConnectionRefusedError() | FileNotFoundError():
            return f"The {target} does not listen there; check address and port, and that it runs."
        case asyncpg.PostgresError():
            return f"The {target} answered: {said}; it has to be put right there (SQLSTATE {error.sqlstate})."
        case ConnectionError() if "rejected SSL upgrade" in said:
            return f"The {target} speaks no TLS; set sslmode=prefer, or let its server have a certificate."
        case _ if "Connect call failed" in said:
            return f"The {target} does not listen there; check address and port, and that it runs."
        case _:
            return f"The connection to the {target} failed: {said or type(error).__name__}; it can be tried again."


def _missing_file(target: Dsn) -> str | None:
    for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
        path = target.parameters.get(name, "")
        if path and path != "system" and not Path(path).exists():
            return f"{name}={path}"
    return None
