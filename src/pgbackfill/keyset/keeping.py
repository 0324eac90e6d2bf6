"""A change that keeps what it replaces, for undo: the same change as one statement that also writes the side table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .names import quote_identifier
from .statement import Change

XID = "pgbackfill_xid"
"""Column of the side table: the chunk's transaction. While the row's xmin is that, nobody has written the row since."""

BEFORE = "pgbackfill_before"
"""And the transaction that had made the version which the chunk replaced."""


def side_table(job_id: int) -> str:
    """Where what a job replaces is kept; made when the job is inserted."""
    return f"pgbackfill.{quote_identifier(f'old_{job_id}')}"


def keeping(change: Change, job_id: int, columns: Sequence[str]) -> Change:
    """`change` as a statement that reads its keys from `chunk`, whose rows an earlier statement has locked.

    So the values that it reads are those that it replaces. A row that the job changes a second time, in a repair, keeps
    its first value if nobody else has written it in between.
    """
    side = side_table(job_id)
    key = [column.quoted for column in change.key]
    kept = [quote_identifier(name) for name in columns]
    if change.from_clause is None:
        # A person's columns need no qualification, so ours must not share their names.
        renamed = ", ".join(f"chunk.{name} AS pgbackfill_{i}" for i, name in enumerate(key))
        items = f"(SELECT {renamed} FROM chunk) AS pgbackfill_chunk"
        match = " AND ".join(f"t.{name} = pgbackfill_chunk.pgbackfill_{i}" for i, name in enumerate(key))
    else:
        items = f"chunk,\n{change.from_clause}\n"
        match = _match("t", "chunk", key)
    where = f" AND ({change.where_clause}\n)" if change.where_clause else ""
    both = ", ".join([*key, *kept])
    read = ", ".join(f"t.{name}" for name in [*key, *kept])
    again = [f"{name} = CASE WHEN s.{XID} = excluded.{BEFORE} THEN s.{name} ELSE excluded.{name} END" for name in kept]
    again += [f"{name} = excluded.{name}" for name in (XID, BEFORE)]
    statement = (
        f", pgbackfill_old AS MATERIALIZED (SELECT {read}, t.xmin AS {BEFORE}"
        f" FROM ONLY {change.relation} AS t JOIN chunk ON {_match('t', 'chunk', key)})"
        f", pgbackfill_changed AS (UPDATE ONLY {change.relation} AS t SET {change.set_clause}\n FROM {items}"
        f" WHERE {match}{where} RETURNING {', '.join(f't.{name}' for name in key)})"
        f" INSERT INTO {side} AS s ({both}, {XID}, {BEFORE})"
        f" SELECT {', '.join(f'o.{name}' for name in [*key, *kept])}, pg_catalog.pg_current_xact_id()::pg_catalog.xid,"
        f" o.{BEFORE} FROM pgbackfill_changed AS c JOIN pgbackfill_old AS o ON {_match('c', 'o', key)}"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(again)}"
    )
    return replace(change, operation="statement", statement=statement, set_clause=None)


def _match(one: str, other: str, key: Sequence[str]) -> str:
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in key)
