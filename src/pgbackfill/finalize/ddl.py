"""The SQL of the finalize steps. Pure; pinned by tests.

A clause that a person wrote ends with a newline, so that a comment in it ends too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgbackfill.control.options import PacingOptions
from pgbackfill.jobs.job import Job
from pgbackfill.keyset import session
from pgbackfill.keyset.names import quote_identifier, quote_literal

BRIEF_MS = 1_000
"""What takes ACCESS EXCLUSIVE only writes the catalog; were it to read the table after all, it has to stop."""


def helper_name(job_id: int, ordinal: int) -> str:
    """Of the CHECK that proves a column NOT NULL; the same for whoever goes on with the step."""
    return f"pgbackfill_{job_id}_{ordinal}_not_null"


def add_check(relation: str, name: str, check: str) -> str:
    """Holds for new rows at once; old ones are looked at by `validate`, without a lock that anybody notices."""
    return f"ALTER TABLE {relation} ADD CONSTRAINT {quote_identifier(name)} CHECK ({check}\n) NOT VALID"


def validate(relation: str, name: str) -> str:
    """SHARE UPDATE EXCLUSIVE: reads and writes go on."""
    return f"ALTER TABLE {relation} VALIDATE CONSTRAINT {quote_identifier(name)}"


def drop_constraint(relation: str, name: str) -> str:
    return f"ALTER TABLE {relation} DROP CONSTRAINT IF EXISTS {quote_identifier(name)}"


def set_not_null(relation: str, column: str) -> str:
    """Reads nothing where a valid CHECK proves it."""
    return f"ALTER TABLE {relation} ALTER COLUMN {quote_identifier(column)} SET NOT NULL"


def set_default(relation: str, column: str, default: str) -> str:
    return f"ALTER TABLE {relation} ALTER COLUMN {quote_identifier(column)} SET DEFAULT {default}\n"


def create_index(relation: str, spec: Mapping[str, Any]) -> str:
    unique = "UNIQUE " if spec.get("unique") else ""
    using = f" USING {quote_identifier(spec['using'])}" if "using" in spec else ""
    include = f" INCLUDE ({spec['include']}\n)" if "include" in spec else ""
    where = f" WHERE ({spec['where']}\n)" if "where" in spec else ""
    name = quote_identifier(spec["name"])
    return f"CREATE {unique}INDEX CONCURRENTLY {name} ON {relation}{using} ({spec['columns']}\n){include}{where}"


def drop_index(schema: str, name: str) -> str:
    return f"DROP INDEX CONCURRENTLY {quote_identifier(schema)}.{quote_identifier(name)}"


def analyze(relation: str) -> str:
    return f"ANALYZE {relation}"


def vacuum(relation: str) -> str:
    """Without giving pages back at the end of the file, for which it would lock everybody out, replicas included."""
    return f"VACUUM (TRUNCATE FALSE) {relation}"


def begin(job: Job, options: PacingOptions, *, brief: bool) -> str:
    """Opens a transaction that waits no longer for a lock than a chunk does; `brief`: nor does it run for long."""
    values = {
        "lock_timeout": str(options.lock_timeout_ms),
        "statement_timeout": str(BRIEF_MS + options.lock_timeout_ms if brief else 0),
        **session.jobs_own(job.time_zone, job.session_settings),
    }
    path = f"SELECT pg_catalog.set_config('search_path', {quote_literal(job.search_path)}, true)"
    return "; ".join(["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", *session.set_local(values), path])


def outside(job: Job) -> str:
    """The settings of a statement that may be in no transaction, for a session that does nothing else.

    Its locks hinder nobody who reads or writes, so it waits for them as long as it takes.
    """
    values = {
        "lock_timeout": "0",
        "statement_timeout": "0",
        "vacuum_cost_delay": "2ms",  # as autovacuum's own
        **session.jobs_own(job.time_zone, job.session_settings),
    }
    settings = [setting.replace("SET LOCAL ", "SET ", 1) for setting in session.set_local(values)]
    return "; ".join(
        [*settings, f"SELECT pg_catalog.set_config('search_path', {quote_literal(job.search_path)}, false)"]
    )
