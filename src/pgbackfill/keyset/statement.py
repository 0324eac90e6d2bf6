"""The SQL of a chunk: the single builder of dynamic SQL. Pure; its output is pinned by golden files.

A clause that a person wrote is put in parentheses where the grammar allows and always followed by a newline, so that
a comment at its end cannot swallow what comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from .key import Arguments, KeyColumn, KeyText, Lower, key_range
from .names import quote_identifier, quote_literal

MEASURED = "EXPLAIN (ANALYZE, WAL, TIMING OFF, BUFFERS OFF, SUMMARY ON, FORMAT JSON) "
"""Around the change: gives its own WAL, its rows and its plan at no measurable cost."""


class Form(StrEnum):
    """How the rows of a chunk are reached."""

    RANGE = "range"
    """One statement over the key range: right where the job's SQL reads nothing but the row itself."""
    LOCKED_RANGE = "locked_range"
    """Lock the matching rows of the range in a statement of their own, then change the same range."""
    JOINED = "joined"
    """Lock the matching rows, then join the change to exactly their keys."""


@dataclass(frozen=True, slots=True)
class Statement:
    sql: str
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What a job does to the rows of one table.

    `relation` is quoted and schema-qualified; `partition_of` is the oid of the walked table where `relation` is a leaf
    of it. `where_stands_alone` tells whether where_clause can be judged on the row `t` without the items of
    from_clause.
    """

    job: str
    operation: str
    relation: str
    key: tuple[KeyColumn, ...]
    set_clause: str | None = None
    from_clause: str | None = None
    where_clause: str | None = None
    statement: str | None = None
    where_stands_alone: bool = True
    only_index: bool = False
    """The key's index is the only one of `relation`, as far as was seen when the walk was opened."""
    target: str | None = None
    """Where a copy goes: quoted and schema-qualified."""
    columns: tuple[str, ...] = ()
    """What a copy takes along, unquoted."""
    partition_of: int | None = None

    @property
    def comment(self) -> str:
        """Tells a reader of pg_stat_activity which job this is, even through a pooler."""
        return f"/* pgbackfill job={self.job} */ "

    def _key_list(self, template: str) -> str:
        return ", ".join(template.format(column.quoted) for column in self.key)

    def _where(self) -> str:
        return f" AND ({self.where_clause}\n)" if self.where_clause else ""

    def _filter(self, *, only_index: bool = False) -> str:
        """where_clause beside a key range, where it must stay a filter.

        A partial index on what is left to do would otherwise win over the key's, and be read from end to end by
        every chunk. The planner does not see through CASE, which costs some 35 ns a row: a sixth of a sparse scan.
        """
        if only_index or self.where_clause is None:
            return self._where()
        return f" AND CASE WHEN ({self.where_clause}\n) THEN true ELSE false END"

    def boundary(self, lower: Lower | None, upper: KeyText | None, rows: int) -> Statement:
        """The key that ends a chunk of `rows` rows, as text; no row where fewer are left.

        The OFFSET counts inside the chunk's own key range, so its cost is the chunk's and never the table's. The
        casts stand outside, where they are evaluated once.
        """
        arguments = Arguments()
        condition = key_range(self.key, lower, upper, arguments)
        keys = self._key_list("t.{}")
        return Statement(
            f"{self.comment}SELECT {self._key_list('k.{}::text')}"
            f" FROM (SELECT {keys} FROM ONLY {self.relation} AS t WHERE {condition}"
            f" ORDER BY {keys} LIMIT 1 OFFSET {rows - 1}) AS k",
            tuple(arguments.values),
        )

    def tail(self, lower: Lower | None, upper: KeyText | None) -> Statement:
        """The last key of what is left, as text, and how many rows that is.

        For fewer rows than one chunk; no row where nothing is left.
        """
        arguments = Arguments()
        condition = key_range(self.key, lower, upper, arguments)
        keys = self._key_list("t.{}")
        return Statement(
            f"{self.comment}SELECT {self._key_list('k.{}::text')},"
            f" (SELECT count(*) FROM ONLY {self.relation} AS t WHERE {condition})"
            f" FROM (SELECT {keys} FROM ONLY {self.relation} AS t WHERE {condition}"
            f" ORDER BY {self._key_list('t.{} DESC')} LIMIT 1) AS k",
            tuple(arguments.values),
        )

    @property
    def relation_oid(self) -> str:
        """Which table carries the name, NULL where that is no partition of the walked table any more. Asked at the end
        of a chunk, whose locks keep the answer true until COMMIT: a table that was renamed, swapped or detached cannot
        be changed unnoticed."""
        named = f"pg_catalog.to_regclass({quote_literal(self.relation)})"
        if self.partition_of is None:
            return f"(SELECT {named}::oid)"
        ancestors = f"SELECT a.relid::oid FROM pg_catalog.pg_partition_ancestors({named}) AS a"
        return f"(SELECT {named}::oid WHERE {self.partition_of} IN ({ancestors}))"

    def last_key(self, lower: Lower | None, upper: KeyText | None) -> Statement:
        """The upper bound of a walk; `upper` may be a prefix of the key."""
        arguments = Arguments()
        condition = key_range(self.key, lower, upper, arguments)
        return Statement(
            f"{self.comment}SELECT {self._key_list('t.{}::text')} FROM ONLY {self.relation} AS t"
            f" WHERE {condition} ORDER BY {self._key_list('t.{} DESC')} LIMIT 1",
            tuple(arguments.values),
        )

    def count_estimate(self, lower: Lower | None, upper: KeyText | None) -> Statement:
        """EXPLAIN of the walk: the planner's idea of how many rows it has."""
        arguments = Arguments()
        condition = key_range(self.key, lower, upper, arguments)
        return Statement(
            f"{self.comment}EXPLAIN (FORMAT JSON) SELECT 1 FROM ONLY {self.relation} AS t WHERE {condition}",
            tuple(arguments.values),
        )

    @property
    def lock_strength(self) -> str:
        """The lock that the change itself would take, so that nothing is upgraded later."""
        return "UPDATE" if self.operation == "delete" else "NO KEY UPDATE"

    def _lock(self, lower: Lower | None, upper: KeyText) -> tuple[str, Arguments]:
        arguments = Arguments()
        condition = key_range(self.key, lower, upper, arguments)
        if self.where_clause and not self.where_stands_alone:
            own_key = f"(SELECT {self._key_list('t.{0} AS {0}')}) AS chunk"
            where = f" AND EXISTS (SELECT 1 FROM {own_key},\n{self.from_clause}\n WHERE ({self.where_clause}\n))"
        else:
            where = self._filter()
        keys = self._key_list("t.{}")
        return (
            f"SELECT {keys} FROM ONLY {self.relation} AS t WHERE {condition}{where}"
            f" ORDER BY {keys} FOR {self.lock_strength} OF t",
            arguments,
        )

    def lock_and_count(self, lower: Lower | None, upper: KeyText, *, measured: bool = True) -> Statement:
        """Locks the matching rows in key order; answers how many, or a plan that tells that and the WAL."""
        scan, arguments = self._lock(lower, upper)
        body = f"SELECT count(*) FROM ({scan}) AS locked"
        return Statement(f"{self.comment}{MEASURED if measured else ''}{body}", tuple(arguments.values))

    def lock_and_list(self, lower: Lower | None, upper: KeyText) -> Statement:
        """Locks the matching rows in key order; answers their keys, one text array per key column."""
        scan, arguments = self._lock(lower, upper)
        arrays = self._key_list("array_agg(locked.{}::text)")
        return Statement(f"{self.comment}SELECT {arrays} FROM ({scan}) AS locked", tuple(arguments.values))

    def change_range(
        self, lower: Lower | None, upper: KeyText, *, measured: bool = True, only_index: bool = False
    ) -> Statement:
        """Changes the matching rows of the key range; where_clause is judged again on the locked version.

        `only_index` tells that the table has no other index than the key's, which the plan then has to confirm.
        """
        arguments = Arguments()
        condition = key_range(self.key, lower, upper, arguments)
        if self.operation == "copy":
            body = self._copy(f"{condition}{self._filter(only_index=only_index)}")
            return Statement(f"{self.comment}{MEASURED if measured else ''}{body}", tuple(arguments.values))
        head = (
            f"UPDATE ONLY {self.relation} AS t SET {self.set_clause}\n"
            if self.operation == "update"
            else f"DELETE FROM ONLY {self.relation} AS t"
        )
        # RETURNING makes the plan's ModifyTable node count the rows that were really changed.
        body = f"{head} WHERE {condition}{self._filter(only_index=only_index)} RETURNING 1"
        return Statement(f"{self.comment}{MEASURED if measured else ''}{body}", tuple(arguments.values))

    def _copy(self, condition: str) -> str:
        """Rows are locked as they are read: one that was deleted meanwhile must not come back. A row that collides with
        anything but its own key fails."""
        names = ", ".join(quote_identifier(column) for column in self.columns)
        values = ", ".join(f"t.{quote_identifier(column)}" for column in self.columns)
        return (
            f"INSERT INTO {self.target} ({names}) OVERRIDING SYSTEM VALUE SELECT {values}"
            f" FROM ONLY {self.relation} AS t WHERE {condition} ORDER BY {self._key_list('t.{}')} FOR KEY SHARE OF t"
            f" ON CONFLICT ({self._key_list('{}')}) DO NOTHING RETURNING 1"
        )

    def change_joined(self, keys: Sequence[Sequence[str]], *, measured: bool = True) -> Statement:
        """Changes exactly the rows whose keys are given, one sequence of texts per key column."""
        arguments = Arguments()
        # Without a from_clause the person's columns need no qualification, so ours must not share their names.
        visible = self.from_clause is not None or self.operation == "statement"
        alias = "chunk" if visible else "pgbackfill_chunk"
        names = [c.quoted if visible else quote_identifier(f"pgbackfill_{i}") for i, c in enumerate(self.key)]
        arrays = ", ".join(arguments.text_array(column) for column in keys)
        texts = ", ".join(f"k{i}" for i in range(len(self.key)))
        selected = ", ".join(
            f"CAST(u.k{i} AS {column.type_name}) AS {name}"
            for i, (column, name) in enumerate(zip(self.key, names, strict=True))
        )
        source = f"SELECT {selected} FROM unnest({arrays}) AS u({texts})"
        if self.operation == "statement":
            body = f"WITH chunk AS MATERIALIZED ({source}) {self.statement}\n"
        else:
            match = " AND ".join(
                f"t.{column.quoted} = {alias}.{name}" for column, name in zip(self.key, names, strict=True)
            )
            items = f"({source}) AS {alias}" + (f",\n{self.from_clause}\n" if self.from_clause else "")
            head = (
                f"UPDATE ONLY {self.relation} AS t SET {self.set_clause}\n FROM {items}"
                if self.operation == "update"
                else f"DELETE FROM ONLY {self.relation} AS t USING {items}"
            )
            body = f"{head} WHERE {match}{self._where()} RETURNING 1"
        return Statement(f"{self.comment}{MEASURED if measured else ''}{body}", tuple(arguments.values))
