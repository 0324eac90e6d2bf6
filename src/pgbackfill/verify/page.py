"""The SQL of verification. Pure; its output is pinned by golden files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pgbackfill.control.options import PacingOptions
from pgbackfill.jobs.job import Job
from pgbackfill.keyset import session
from pgbackfill.keyset.key import Arguments, KeyText, Lower, key_range
from pgbackfill.keyset.names import quote_identifier, quote_literal
from pgbackfill.keyset.statement import Change, Statement

XIDS = 1 << 32
"""xmin shows 32 bits of a transaction id."""

UNDECIDABLE = "true"
"""In place of a condition that raises an error for a row: such a row is not known to be right."""


def begin(options: PacingOptions, job: Job) -> str:
    """Opens the transaction of one page, on the primary or on a replica, under the job's own settings."""
    values: Mapping[str, str] = {
        "lock_timeout": str(options.lock_timeout_ms),
        "statement_timeout": str(options.statement_timeout_ms),
        "plan_cache_mode": "force_custom_plan",
        **dict.fromkeys(session.STEERED, "off"),
        **session.jobs_own(job.time_zone, job.session_settings),
    }
    path = f"SELECT pg_catalog.set_config('search_path', {quote_literal(job.search_path)}, true)"
    return "; ".join(["BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", *session.set_local(values), path])


def compared(where: str | None, pairs: Sequence[tuple[str, str, str]]) -> str:
    """The condition on the row `t` that finds columns without their value; `pairs`: column, expression, type name."""
    differ = " OR ".join(
        f"t.{quote_identifier(column)} IS DISTINCT FROM CAST(({expression}\n) AS {type_name})"
        for column, expression, type_name in pairs
    )
    return f"({where}\n) AND ({differ})" if where is not None else differ


def selected(change: Change) -> str:
    """The condition on the row `t` that finds what the job's clauses select."""
    where = f"({change.where_clause}\n)" if change.where_clause is not None else "true"
    if change.from_clause is None:
        return where
    own_key = ", ".join(f"t.{column.quoted} AS {column.quoted}" for column in change.key)
    return f"EXISTS (SELECT 1 FROM (SELECT {own_key}) AS chunk,\n{change.from_clause}\n WHERE {where})"


def wrong_rows(
    change: Change,
    condition: str,
    lower: Lower | None,
    upper: KeyText,
    *,
    claim_xid: int,
    aside: Sequence[KeyText] = (),
) -> Statement:
    """The rows of a key range for which `condition` holds: how many were born or written since the job began, and the
    keys of those whose version is older, one text array a key column. `aside`: keys that are not looked at."""
    inner, arguments = _inner(change, condition, lower, upper, claim_xid, aside, None)
    keys = ", ".join(
        f"array_agg(w.k{i}::text ORDER BY {_order(change)}) FILTER (WHERE NOT w.later)" for i in _each(change)
    )
    return Statement(
        f"{change.comment}SELECT count(*) FILTER (WHERE w.later), {keys} FROM ({inner}) AS w", tuple(arguments.values)
    )


def sampled_rows(
    change: Change,
    condition: str,
    lower: Lower | None,
    upper: KeyText,
    *,
    claim_xid: int,
    percent: float,
    aside: Sequence[KeyText] = (),
) -> Statement:
    """The same of the rows in `percent` of the table's blocks, chosen at random; counts all of them first."""
    inner, arguments = _inner(change, condition, lower, upper, claim_xid, aside, percent)
    keys = ", ".join(f"array_agg(w.k{i}::text) FILTER (WHERE w.wrong AND NOT w.later)" for i in _each(change))
    return Statement(
        f"{change.comment}SELECT count(*), count(*) FILTER (WHERE w.wrong AND w.later), {keys} FROM ({inner}) AS w",
        tuple(arguments.values),
    )


def _inner(
    change: Change,
    condition: str,
    lower: Lower | None,
    upper: KeyText,
    claim_xid: int,
    aside: Sequence[KeyText],
    percent: float | None,
) -> tuple[str, Arguments]:
    arguments = Arguments()
    bounds = key_range(change.key, lower, upper, arguments)
    passed = ""
    if aside:
        columns = [arguments.text_array([key[i] for key in aside]) for i in _each(change)]
        texts = ", ".join(f"k{i}" for i in _each(change))
        casts = ", ".join(f"CAST(u.k{i} AS {column.type_name})" for i, column in enumerate(change.key))
        own = ", ".join(f"t.{column.quoted}" for column in change.key)
        passed = f"WHEN ({own}) IN (SELECT {casts} FROM unnest({', '.join(columns)}) AS u({texts})) THEN false "
    # Behind CASE, so that a partial index on what is left cannot win over the key's; and so that the expression is not
    # evaluated for a row on which it has failed before.
    wrong = f"CASE {passed}WHEN {condition} THEN true ELSE false END"
    keys = ", ".join(f"t.{column.quoted} AS k{i}" for i, column in enumerate(change.key))
    source = f"SELECT {keys}, {_later(claim_xid)} AS later"
    if percent is not None:
        # OFFSET 0: else the condition would be evaluated once for each count.
        table = f"FROM ONLY {change.relation} AS t TABLESAMPLE SYSTEM ({percent:.10f})"
        return f"{source}, {wrong} AS wrong {table} WHERE {bounds} OFFSET 0", arguments
    return f"{source} FROM ONLY {change.relation} AS t WHERE {bounds} AND {wrong}", arguments


def _later(claim_xid: int) -> str:
    """Whether the row's version was written by a transaction that is not older than the job's start.

    A transaction id wraps around: what counts is whether it lies between the job's and the next one to be given.
    """
    own = "t.xmin::text::bigint"
    ahead = f"({own} - {claim_xid % XIDS} + {XIDS}) % {XIDS}"
    next_id = "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint"
    return f"({own} > 2 AND {ahead} < (SELECT {next_id} - {claim_xid}))"


def _each(change: Change) -> range:
    return range(len(change.key))


def _order(change: Change) -> str:
    return ", ".join(f"w.k{i}" for i in _each(change))
