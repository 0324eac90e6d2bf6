"""The SQL of a shadow: the triggers by which one table follows another, and the comparison of both.

Pure; pinned by golden files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgbackfill.keyset.key import Arguments, KeyColumn, KeyText, Lower, key_range
from pgbackfill.keyset.names import quote_identifier
from pgbackfill.keyset.statement import Statement

ROW_TRIGGER = "pgbackfill_shadow_row"
TRUNCATE_TRIGGER = "pgbackfill_shadow_truncate"

OWN = "pg_catalog.age(t.xmin) BETWEEN -1073741824 AND 0"
"""Written by this transaction or a savepoint of it, whose numbers are its own or later ones. The lower bound keeps out
rows so old that their number counts as later again: those of 2 to 3 billion transactions ago."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that both tables have. `type_name` is its type in the follower; `always`: there it is an identity column
    that takes a value only with its row."""

    name: str
    type_name: str
    always: bool = False

    @property
    def quoted(self) -> str:
        return quote_identifier(self.name)


@dataclass(frozen=True, slots=True)
class Pair:
    """`leader` is what the application writes, `follower` is kept the same; both quoted and schema-qualified.

    `function` is that of the triggers, likewise quoted. `key` has the types of the leader.
    """

    leader: str
    follower: str
    function: str
    key: Sequence[KeyColumn]
    columns: Sequence[Column]
    search_path: str = "pg_catalog, pg_temp"
    """Where the operators of the key's types are."""

    @property
    def _key_list(self) -> str:
        return ", ".join(column.quoted for column in self.key)

    def _same_key(self, left: str, right: str) -> str:
        return " AND ".join(f"{left}.{column.quoted} = {right}.{column.quoted}" for column in self.key)

    def _insert(self, source: str) -> str:
        names = ", ".join(column.quoted for column in self.columns)
        return f"INSERT INTO {self.follower} ({names}) OVERRIDING SYSTEM VALUE\n            {source}"

    def follow_function(self) -> str:
        """Makes the follower hold, under the keys of a changed row, what the leader holds now.

        What it holds there this transaction has written: nobody else can put a row under a key that it has changed. An
        old snapshot also shows rows that others have deleted since, under the same key even beside the new one.

        With the rights of the tables' owner: whoever may write one of them need not be let into the other. Without
        sequential scans, because a plan that was made while the follower was empty lives for as long as its session.
        """
        keys = {column.name for column in self.key}
        changed = [c.quoted for c in self.columns if c.name not in keys and not c.always]
        assigned = ", ".join(f"{name} = excluded.{name}" for name in changed)
        upsert = f"DO UPDATE SET {assigned}" if changed else "DO NOTHING"
        values = ", ".join(f"t.{column.quoted}" for column in self.columns)
        old_values = ", ".join(f"OLD.{column.quoted}" for column in self.columns)
        new_key, old_key = (", ".join(f"{row}.{c.quoted}" for c in self.key) for row in ("NEW", "OLD"))
        return f"""\
CREATE OR REPLACE FUNCTION {self.function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path TO {self.search_path} SET row_security TO off SET enable_seqscan TO off
AS $pgbackfill$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE {self.follower};
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND ROW({old_key}) IS DISTINCT FROM ROW({new_key}) THEN
        IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
            -- DELETE passes over a row that was copied after this transaction's snapshot; a conflict does not.
            {self._insert(f"VALUES ({old_values})")}
            ON CONFLICT ({self._key_list}) DO NOTHING;
        END IF;
        DELETE FROM {self.follower} AS f WHERE {self._same_key("f", "OLD")}
            AND NOT EXISTS (SELECT FROM {self.leader} AS t WHERE {self._same_key("t", "OLD")} AND {OWN});
    END IF;
    IF TG_OP <> 'DELETE' THEN
{self._renumber()}\
        {self._insert(f"SELECT {values} FROM {self.leader} AS t WHERE {self._same_key('t', 'NEW')} AND {OWN}")}
            ON CONFLICT ({self._key_list}) {upsert};
    END IF;
    RETURN NULL;
END
$pgbackfill$"""

    def _renumber(self) -> str:
        """A row with another number is another row."""
        numbers = [c.quoted for c in self.columns if c.always and c.name not in {key.name for key in self.key}]
        if not numbers:
            return ""
        left, right = (", ".join(f"{table}.{number}" for number in numbers) for table in ("f", "t"))
        return (
            f"        DELETE FROM {self.follower} AS f USING {self.leader} AS t WHERE {self._same_key('f', 'NEW')}"
            f" AND {self._same_key('t', 'NEW')} AND {OWN}\n            AND ROW({left}) IS DISTINCT FROM ROW({right});\n"
        )

    def follow(self) -> list[str]:
        """The triggers. ALWAYS, so that rows which arrive by replication are followed, too."""
        statements = []
        for trigger, event, level in (
            (ROW_TRIGGER, "INSERT OR UPDATE OR DELETE", "ROW"),
            (TRUNCATE_TRIGGER, "TRUNCATE", "STATEMENT"),
        ):
            statements += [
                f"CREATE TRIGGER {trigger} AFTER {event} ON {self.leader}"
                f" FOR EACH {level} EXECUTE FUNCTION {self.function}()",
                f"ALTER TABLE {self.leader} ENABLE ALWAYS TRIGGER {trigger}",
            ]
        return statements

    def unfollow(self) -> list[str]:
        return [f"DROP TRIGGER IF EXISTS {name} ON {self.leader}" for name in (ROW_TRIGGER, TRUNCATE_TRIGGER)]

    def _values(self, *, cast: bool) -> str:
        """A row as the follower holds it; types that are the same are the same without a cast."""
        values = (f"CAST(t.{c.quoted} AS {c.type_name})" if cast else f"t.{c.quoted}" for c in self.columns)
        return f"ROW({', '.join(values)})::text"

    def boundary(self, lower: Lower | None, rows: int) -> Statement:
        """The key, as text, that ends a chunk of `rows` rows of the leader; no row where fewer are left."""
        arguments = Arguments()
        condition = key_range(self.key, lower, None, arguments)
        keys = ", ".join(f"t.{column.quoted}" for column in self.key)
        texts = ", ".join(f"k.{column.quoted}::text" for column in self.key)
        return Statement(
            f"SELECT {texts} FROM (SELECT {keys} FROM {self.leader} AS t WHERE {condition}"
            f" ORDER BY {keys} LIMIT 1 OFFSET {rows - 1}) AS k",
            tuple(arguments.values),
        )

    def compare(self, lower: Lower | None, upper: KeyText | None) -> Statement:
        """Rows and checksum of both tables in a key range, of one snapshot because of one statement."""
        arguments = Arguments()
        condition = key_range(self.key, lower, upper, arguments)

        def side(table: str, cast: bool) -> str:
            return (
                "(SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended("
                f"{self._values(cast=cast)}, 0)::numeric), 0)::text AS checksum FROM {table} AS t WHERE {condition})"
            )

        return Statement(
            "SELECT l.rows AS leader_rows, f.rows AS follower_rows, l.checksum = f.checksum AS same"
            f" FROM {side(self.leader, True)} AS l, {side(self.follower, False)} AS f",
            tuple(arguments.values),
        )

    def differences(self, lower: Lower | None, upper: KeyText | None, most: int) -> Statement:
        """Keys in a range under which the tables differ."""
        arguments = Arguments()
        condition = key_range(self.key, lower, upper, arguments)
        texts = ", ".join(f"t.{column.quoted}::text" for column in self.key)

        def side(table: str, cast: bool) -> str:
            row = self._values(cast=cast)
            return f"(SELECT ARRAY[{texts}] AS key, {row} AS row FROM {table} AS t WHERE {condition})"

        return Statement(
            f"SELECT key FROM {side(self.leader, True)} AS l FULL JOIN {side(self.follower, False)} AS f USING (key)"
            f" WHERE l.row IS DISTINCT FROM f.row ORDER BY key LIMIT {most}",
            tuple(arguments.values),
        )
