"""Looks at everything in turn. What may not be seen is unknown, never healthy, and comes with the missing GRANT."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import asyncpg

from pgbackfill.database.catalog import rolled_back
from pgbackfill.database.failures import first_line
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection

LONG_TRANSACTION_S = 60.0
"""A statement of an application takes seconds; a minute is a report, a migration, or something forgotten."""

BEHIND_BYTES = 64 << 20
"""Four segments of write-ahead log: more than a replica that keeps up ever has to replay."""

RETAINED_BYTES = 8 << 30
"""As the soft limit of the signal `slot_retained`."""

TIMEOUT_MS = 5_000
"""Longest time for one look: on a server in trouble the others are still worth having."""


class Level(StrEnum):
    PROBLEM = "problem"
    UNKNOWN = "unknown"
    WARNING = "warning"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` is SQL, or a command, that a person can run as it stands; None where nothing needs doing."""

    level: Level
    what: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One look: what it was about, and what was found."""

    title: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of its findings."""
        order = list(Level)
        return min((finding.level for finding in self.findings), key=order.index, default=Level.FINE)


@dataclass(frozen=True, slots=True)
class _Look:
    """A block of doctor.sql. `stats`: without pg_read_all_stats it would read healthy whatever others do."""

    title: str
    block: str
    arguments: tuple[object, ...] = ()
    stats: bool = False


_LOOKS = (
    _Look("Long transactions", "long_transactions", (LONG_TRANSACTION_S,), stats=True),
    _Look("Prepared transactions", "prepared_transactions", (LONG_TRANSACTION_S,)),
    _Look("Blocked sessions", "blocked", stats=True),
    _Look("Invalid indexes", "invalid_indexes"),
    _Look("Index builds", "index_builds", stats=True),
    _Look("Replicas", "replicas", (BEHIND_BYTES,)),
    _Look("Replication slots", "slots", (RETAINED_BYTES,)),
    _Look("Archive", "archive"),
    _Look("Connections", "connections"),
)

_OWN_LOOKS = (_Look("Jobs", "jobs"), _Look("Daemons", "daemons"))


async def examine(connection: Connection) -> list[Check]:
    """Reads only. Raises what a lost connection raises."""
    login = await connection.fetchval("SELECT pg_catalog.quote_ident(current_user)")
    sees_all = await connection.fetchval(load("signals")["may_monitor"])
    checks = [await _check(connection, look, login, sees_all) for look in _LOOKS]
    if await connection.fetchval("SELECT pg_catalog.to_regnamespace('pgbackfill') IS NULL"):
        missing = Finding(Level.WARNING, "the schema pgbackfill is not in this database", "pgbackfill migrate")
        return [*checks, Check("Jobs", (missing,))]
    checks += [await _check(connection, look, login, sees_all) for look in _OWN_LOOKS]
    return [*checks, await _targets(connection, login)]


async def _check(connection: Connection, look: _Look, login: str, sees_all: bool) -> Check:
    if look.stats and not sees_all:
        return Check(look.title, (_not_permitted("what other sessions do cannot be seen", "pg_monitor", login),))
    role = "pgbackfill_viewer" if look in _OWN_LOOKS else "pg_monitor"
    found = await _rows(connection, look.block, look.arguments, role, login)
    return Check(look.title, tuple(_with_grant(finding, login) for finding in found))


async def _targets(connection: Connection, login: str) -> Check:
    title = "Vacuum of the tables of jobs"
    try:
        async with rolled_back(connection):
            oids = [row["relation"] for row in await connection.fetch(load("doctor")["targets_of"])]
    except asyncpg.InsufficientPrivilegeError:
        return Check(title, (_not_permitted("which tables jobs walk cannot be read", "pgbackfill_enqueuer", login),))
    return Check(title, tuple(await _rows(connection, "targets", (oids,), "pg_monitor", login)))


async def _rows(
    connection: Connection, block: str, arguments: tuple[object, ...], role: str, login: str
) -> list[Finding]:
    try:
        async with rolled_back(connection):
            await connection.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}")
            rows = await connection.fetch(load("doctor")[block], *arguments)
    except asyncpg.InsufficientPrivilegeError as error:
        return [_not_permitted(first_line(error), role, login)]
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.AdminShutdownError | asyncpg.CrashShutdownError):
            raise
        return [Finding(Level.UNKNOWN, f"cannot be looked at: {first_line(error)} (SQLSTATE {error.sqlstate})")]
    return [Finding(Level(row["level"]), row["what"], row["fix"]) for row in rows]


def _with_grant(finding: Finding, login: str) -> Finding:
    """A replica whose state is hidden: the view answers rows, but without anything in them."""
    if finding.level is Level.UNKNOWN and finding.fix is None and "not to be seen" in finding.what:
        return Finding(finding.level, finding.what, f"GRANT pg_monitor TO {login}")
    return finding


def _not_permitted(what: str, role: str, login: str) -> Finding:
    return Finding(Level.UNKNOWN, what, f"GRANT {role} TO {login}")
