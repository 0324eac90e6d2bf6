"""A change that keeps what it replaces, for undo: the same change as one statement that also writes the side table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .names import quote_identifier
from .statement import Change

XID = "pgbackfill_xid"
"""Column of the side table: the chunk's transaction. While the row's xmin is that, nobody has written the row since."""


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
    both = [*key, *kept]
    values = ", ".join(f"CASE WHEN e.{XID} IS NULL THEN o.{name} ELSE e.{name} END" for name in kept)
    own = ", ".join(f"o.{name}" for name in key)
    again = ", ".join(f"{name} = excluded.{name}" for name in [*kept, XID])
    statement = (
        f", pgbackfill_old AS MATERIALIZED (SELECT {', '.join(f't.{name}' for name in both)}, t.xmin AS {XID}"
        f" FROM ONLY {change.relation} AS t JOIN chunk ON {_match('t', 'chunk', key)})"
        f", pgbackfill_changed AS (UPDATE ONLY {change.relation} AS t SET {change.set_clause}\n FROM {items}"
        f" WHERE {match}{where} RETURNING {', '.join(f't.{name}' for name in key)})"
        f" INSERT INTO {side} ({', '.join([*both, XID])})"
        f" SELECT {', '.join(part for part in (own, values) if part)}, pg_catalog.pg_current_xact_id()::pg_catalog.xid"
        f" FROM pgbackfill_changed AS c JOIN pgbackfill_old AS o ON {_match('c', 'o', key)}"
        # OFFSET 0: looked up row by row; else all of a large side table could be read for each chunk.
        f" LEFT JOIN LATERAL (SELECT {', '.join([*kept, XID])} FROM {side} AS k WHERE {_match('k', 'o', key)} OFFSET 0)"
        f" AS e ON e.{XID} = o.{XID}"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {again}"
    )
    return replace(change, operation="statement", statement=statement, set_clause=None)


def _match(one: str, other: str, key: Sequence[str]) -> str:
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in key)
