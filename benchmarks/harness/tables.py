"""The tables that are changed: one base table per case, and a fresh, identical copy for every single run."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

SCHEMA = "pgbackfill_bench"
TABLE = f"{SCHEMA}.work"
REGIONS = 1000
SPARSE_ONE_IN = 1000
FILLER_BYTES = 192
"""Makes a row some 300 bytes wide and its update some 800 bytes of WAL, as in an ordinary table of people or orders.
Width decides how many rows share a page, and so how often pages are pruned between chunks: keys that are not in the
order of the heap lose most where rows are narrow."""


class WrongResult(Exception):
    """A run did not change every row exactly once, so its time means nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """A table and the change to it.

    `key` holds (column, type, expression over the row number g). `right` is true for a row that was changed exactly
    once, or rightly left alone. `new_column` is what the change fills.
    """

    name: str
    key: tuple[tuple[str, str, str], ...]
    set_clause: str
    right: str
    new_column: str = "email_lower"
    filled: str = "NULL::text"

    @property
    def where_clause(self) -> str:
        return f"{self.new_column} IS NULL"

    @property
    def base(self) -> str:
        return f"{SCHEMA}.base_{self.name.replace('-', '_')}"

    @property
    def key_list(self) -> str:
        return ", ".join(column for column, _, _ in self.key)

    @property
    def plain_update(self) -> str:
        """What a person without time to lose would write, and the measure of everything else."""
        return f"UPDATE {TABLE} AS t SET {self.set_clause} WHERE {self.where_clause}"


_BIGINT = (("id", "bigint", "g"),)
_LOWER = "email_lower = lower(email), n = n + 1"
_LOWERED_ONCE = "n = 1 AND email_lower = lower(email)"

CASES = {
    case.name: case
    for case in (
        Case("bigint", _BIGINT, _LOWER, _LOWERED_ONCE),
        # md5 makes random keys that are the same in every run; the heap is in another order than the key.
        Case("uuid", (("id", "uuid", "md5(g::text)::uuid"),), _LOWER, _LOWERED_ONCE),
        Case("text", (("id", "text", "'customer-' || md5(g::text)"),), _LOWER, _LOWERED_ONCE),
        Case("composite", (("tenant", "int", "g % 100"), ("id", "bigint", "g")), _LOWER, _LOWERED_ONCE),
        # The lines of orders, as they came: a composite key in the order of the heap.
        Case("composite-in-order", (("order_id", "bigint", "g / 4"), ("line", "int", "g % 4")), _LOWER, _LOWERED_ONCE),
        Case(
            "other-table",
            _BIGINT,
            f"region = (SELECT r.name FROM {SCHEMA}.regions AS r WHERE r.id = t.region_id), n = n + 1",
            "n = 1 AND region = 'region ' || region_id",
            new_column="region",
        ),
        Case(
            "sparse",
            _BIGINT,
            _LOWER,
            f"n = CASE WHEN id % {SPARSE_ONE_IN} = 0 THEN 1 ELSE 0 END AND email_lower = lower(email)",
            filled=f"CASE WHEN g % {SPARSE_ONE_IN} = 0 THEN NULL ELSE lower('User' || g || '@Example.com') END",
        ),
    )
}


async def create_base(connection: asyncpg.Connection, case: Case, rows: int, filler_bytes: int = FILLER_BYTES) -> None:
    """Creates the base table of `rows` rows in row-number order, whatever was there before."""
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    await connection.execute(
        f"DROP TABLE IF EXISTS {SCHEMA}.regions;"
        f"CREATE TABLE {SCHEMA}.regions (id int PRIMARY KEY, name text NOT NULL);"
        f"INSERT INTO {SCHEMA}.regions SELECT g, 'region ' || g FROM generate_series(0, {REGIONS - 1}) AS g;"
    )
    await connection.execute(f"VACUUM (ANALYZE) {SCHEMA}.regions")
    keys = ", ".join(f"({expression})::{type_} AS {column}" for column, type_, expression in case.key)
    await connection.execute(
        f"DROP TABLE IF EXISTS {case.base};"
        f"CREATE TABLE {case.base} WITH (autovacuum_enabled = off) AS"
        f" SELECT {keys}, 'User' || g || '@Example.com' AS email, {case.filled} AS email_lower,"
        f" (g % {REGIONS})::int AS region_id, NULL::text AS region, 0 AS n,"
        # 32 characters at a time from md5, so that WAL and pages hold what does not compress to nothing.
        f" left(repeat(md5(g::text), {filler_bytes} / 32 + 1), {filler_bytes}) AS filler"
        f" FROM generate_series(1, {rows}) AS g"
    )


async def fresh_copy(connection: asyncpg.Connection, case: Case) -> None:
    """A new copy of the base table, vacuumed, its WAL's full-page images reset by a checkpoint.

    Autovacuum is off on the copy in every run alike: it would start beside a job of many commits and not beside one
    statement, whose statistics appear when it is over, so one side alone would pay for it inside its measured time.
    """
    await connection.execute("SET synchronize_seqscans = off")  # or the copy starts in the middle of the base
    await connection.execute(
        f"DROP TABLE IF EXISTS {TABLE};"
        f"CREATE TABLE {TABLE} (LIKE {case.base}) WITH (autovacuum_enabled = off);"
        f"INSERT INTO {TABLE} SELECT * FROM {case.base};"
        f"ALTER TABLE {TABLE} ADD PRIMARY KEY ({case.key_list})"
    )
    await connection.execute(f"VACUUM (ANALYZE) {TABLE}")
    await connection.execute("CHECKPOINT")


async def verify(connection: asyncpg.Connection, case: Case, rows: int) -> None:
    """Raises WrongResult unless all `rows` rows are there and each was changed exactly once (or rightly not)."""
    total = await connection.fetchval(f"SELECT count(*) FROM {TABLE}")
    right = await connection.fetchval(f"SELECT count(*) FROM {TABLE} WHERE {case.right}")
    if total != rows or right != rows:
        raise WrongResult(f"{case.name}: {rows} rows should be right, but {right} of {total} are")
