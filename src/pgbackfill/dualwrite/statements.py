"""The SQL of a sync trigger. Pure; its output is pinned by golden files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgbackfill.keyset.names import quote_identifier, quote_literal
from pgbackfill.keyset.session import quote_setting

from .assignments import Assignment

NAME_BYTES = 63
"""NAMEDATALEN - 1: Postgres cuts what is longer, and two names may become one."""

PREFIX = "zz_pgbackfill_sync_"
"""BEFORE triggers fire in the order of their names, and this one has to see what the others made of the row."""


def trigger_name(name: str) -> str:
    """The same for the same `name`, always: how `drop` finds what `create` made. Its function has it too."""
    full = PREFIX + name
    if len(full.encode()) <= NAME_BYTES:
        return full
    return f"{full[: NAME_BYTES - 9]}_{hashlib.sha256(full.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class SyncTrigger:
    """`relation` is quoted and schema-qualified, its `schema` bare; under `settings` and `search_path` the expressions
    were checked."""

    name: str
    schema: str
    relation: str
    assignments: Sequence[Assignment]
    search_path: str
    settings: Mapping[str, str]
    condition: str | None = None

    @property
    def trigger(self) -> str:
        return quote_identifier(trigger_name(self.name))

    @property
    def function(self) -> str:
        return f"{quote_identifier(self.schema)}.{self.trigger}"

    def create_function(self) -> str:
        """Every expression sees the row as it came, like the right-hand sides of an UPDATE."""
        row = "FROM (SELECT NEW.*) AS t"
        expressions = ",\n    ".join(f"({one.expression}\n    )" for one in self.assignments)
        targets = ", ".join(f"NEW.{quote_identifier(one.column)}" for one in self.assignments)
        change = f"SELECT {expressions}\n    INTO {targets}\n    {row};"
        if self.condition is not None:
            change = f"IF (SELECT ({self.condition}\n    ) {row}) THEN\n    {change}\n    END IF;"
        body = f"\n#variable_conflict use_column\nBEGIN\n    {change}\n    RETURN NEW;\nEND\n"
        tag = self._tag(body)
        settings = "".join(
            f"\nSET {quote_setting(name)} TO {quote_literal(value)}" for name, value in self.settings.items()
        )
        return (
            f"CREATE OR REPLACE FUNCTION {self.function}() RETURNS trigger LANGUAGE plpgsql"
            f"\nSET search_path TO {self.search_path}{settings}"
            f"\nAS {tag}{body}{tag}"
        )

    @staticmethod
    def _tag(body: str) -> str:
        number = 0
        while (tag := f"$pgbackfill{number or ''}$") in body:
            number += 1
        return tag

    def create_trigger(self) -> str:
        return (
            f"CREATE TRIGGER {self.trigger} BEFORE INSERT OR UPDATE ON {self.relation}"
            f" FOR EACH ROW EXECUTE FUNCTION {self.function}()"
        )
