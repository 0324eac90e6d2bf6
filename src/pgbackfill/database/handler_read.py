"""Rows that a handler computes, from when they are read until they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pgbackfill.handlers.call import Row
from pgbackfill.handlers.calls import Result, Values
from pgbackfill.keyset.key import KeyText


@dataclass(slots=True)
class Read:
    """A row as it was read, and what was computed from it; None: nothing yet."""

    key: KeyText
    version: str
    row: Row
    result: Result | None = None


def grouped(reads: Sequence[Read]) -> list[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """Rows that get new values, by the set of columns that the handler returned: k0… the key, v the version, c0… the
    values of those columns in their order. One statement each writes them; most often there is one."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for read in reads:
        columns = read.result.columns if isinstance(read.result, Values) else None
        if columns:
            names = tuple(sorted(columns))
            keys = {f"k{place}": text for place, text in enumerate(read.key)}
            values = {f"c{place}": columns[name] for place, name in enumerate(names)}
            groups.setdefault(names, []).append({**keys, "v": read.version, **values})
    return sorted(groups.items())
