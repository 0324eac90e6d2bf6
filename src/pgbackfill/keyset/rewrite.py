"""The SQL of a chunk whose new values are computed by a handler: read, lock, write. Pure; pinned by golden files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .key import Arguments, KeyText, Lower, key_range
from .names import quote_identifier
from .statement import MEASURED, Change, Statement

VERSION = "xmin"
"""Two committed versions of a row with the same key never have the same."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Reads rows of `change.relation` and writes values that were computed from them."""

    change: Change

    def _keys(self, template: str) -> str:
        return ", ".join(template.format(column.quoted, place) for place, column in enumerate(self.change.key))

    def read(self, lower: Lower | None, end: KeyText, columns: Sequence[str], limit: int) -> Statement:
        """The first `limit` rows up to `end` that where_clause selects: version, key, columns. Locks nothing."""
        arguments = Arguments()
        condition = key_range(self.change.key, lower, end, arguments)
        where = (
            f" AND CASE WHEN ({self.change.where_clause}\n) THEN true ELSE false END"
            if self.change.where_clause
            else ""
        )
        wanted = ", ".join(["", *(f"t.{quote_identifier(column)}" for column in columns)])
        return Statement(
            f"{self.change.comment}SELECT t.{VERSION}::text, {self._keys('t.{}::text')}{wanted}"
            f" FROM ONLY {self.change.relation} AS t WHERE {condition}{where}"
            f" ORDER BY {self._keys('t.{}')} LIMIT {limit}",
            tuple(arguments.values),
        )

    def lock(self, keys: Sequence[KeyText]) -> Statement:
        """Locks these rows in key order; answers the version and the key of each that is still there."""
        arguments = Arguments()
        arrays = ", ".join(arguments.text_array(list(column)) for column in zip(*keys, strict=True))
        texts = self._keys("k{1}")
        match = self._match("chunk.k{1}")
        values = ", ".join(
            f"CAST(u.k{place} AS {column.type_name}) AS k{place}" for place, column in enumerate(self.change.key)
        )
        return Statement(
            f"{self.change.comment}SELECT t.{VERSION}::text, {self._keys('t.{}::text')}"
            f" FROM ONLY {self.change.relation} AS t"
            f" JOIN (SELECT {values} FROM unnest({arrays}) AS u({texts})) AS chunk ON {match}"
            f" ORDER BY {self._keys('t.{}')} FOR NO KEY UPDATE OF t",
            tuple(arguments.values),
        )

    def write(self, columns: Sequence[tuple[str, str]], rows: str) -> Statement:
        """Sets `columns` (names with their types) to what `rows` says: a JSON list of objects with the key as text (k0,
        …), the version that was read (v), and the new values (c0, …). A row of another version is left alone."""
        sets = ", ".join(f"{quote_identifier(name)} = chunk.c{place}" for place, (name, _) in enumerate(columns))
        types = ", ".join(f"c{place} {type_name}" for place, (_, type_name) in enumerate(columns))
        keys = self._keys("k{1} text")
        match = self._match("CAST(chunk.k{1} AS {0})")
        return Statement(
            f"{self.change.comment}{MEASURED}UPDATE ONLY {self.change.relation} AS t SET {sets}"
            f" FROM pg_catalog.json_to_recordset($1::text::json) AS chunk({keys}, v text, {types})"
            f" WHERE {match} AND t.{VERSION} = CAST(chunk.v AS xid) RETURNING 1",
            (rows,),
        )

    def _match(self, template: str) -> str:
        return " AND ".join(
            f"t.{column.quoted} = {template.format(column.type_name, place)}"
            for place, column in enumerate(self.change.key)
        )
