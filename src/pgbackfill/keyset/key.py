"""The key that a table is walked by, and the bounds of a walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .names import quote_identifier

KeyText = tuple[str, ...]
"""One key as text, a value per key column (or per leading column, where a prefix is allowed)."""


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """`type_name` is what `format_type` prints with pg_catalog alone in the search path, type modifier included."""

    name: str
    type_name: str

    @property
    def quoted(self) -> str:
        return quote_identifier(self.name)


@dataclass(frozen=True, slots=True)
class Lower:
    """Where a scan begins: at a key (`inclusive`, a prefix will do) or after the cursor (a full key)."""

    key: KeyText
    inclusive: bool


class Arguments:
    """Collects bound values while a statement is built; every one is sent as text and cast to the key's own type."""

    def __init__(self, first: Sequence[object] = ()) -> None:
        self.values: list[object] = list(first)

    def key_value(self, value: str, type_name: str) -> str:
        self.values.append(value)
        return f"CAST(${len(self.values)}::text AS {type_name})"

    def text_array(self, values: Sequence[str]) -> str:
        self.values.append(list(values))
        return f"${len(self.values)}::text[]"


def _compare(columns: Sequence[KeyColumn], operator: str, key: KeyText, arguments: Arguments) -> str:
    """A row comparison: the form that stays an index condition. The OR-expanded one becomes a filter."""
    used = columns[: len(key)]
    left = ", ".join(f"t.{column.quoted}" for column in used)
    right = ", ".join(arguments.key_value(value, column.type_name) for value, column in zip(key, used, strict=True))
    return f"({left}) {operator} ({right})"


def key_range(columns: Sequence[KeyColumn], lower: Lower | None, upper: KeyText | None, arguments: Arguments) -> str:
    """The condition `lower < key <= upper` on the alias `t`; `true` where both ends are open."""
    conditions = []
    if lower is not None:
        conditions.append(_compare(columns, ">=" if lower.inclusive else ">", lower.key, arguments))
    if upper is not None:
        conditions.append(_compare(columns, "<=", upper, arguments))
    return " AND ".join(conditions) or "true"
