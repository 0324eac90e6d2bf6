"""The SQL of a handler chunk, word for word; written anew like the other golden files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pgbackfill.keyset.key import KeyColumn, KeyText, Lower
from pgbackfill.keyset.rewrite import Rewrite
from pgbackfill.keyset.statement import Change

GOLDEN = Path(__file__).parent / "golden"
CHANGE = Change("users-geo", "handler", '"public"."users"', (), where_clause="lat IS NULL -- to do")
KEYS: dict[str, tuple[tuple[KeyColumn, ...], KeyText, KeyText]] = {
    "integer": ((KeyColumn("id", "bigint"),), ("7",), ("99",)),
    "odd": (
        (KeyColumn('Key "1".x', "character(3)"), KeyColumn("at", "date")), ("a'b", "2024-01-01"), ("{%s}", "infinity")
    ),
}  # fmt: skip
COLUMNS = [("lat", "double precision"), ('Ö "x"', '"My Schema"."Enum"')]


@pytest.mark.parametrize("key", KEYS)
def test_the_sql_is_what_the_golden_file_says(key: str) -> None:
    columns, low, high = KEYS[key]
    rewrite = Rewrite(replace(CHANGE, key=columns))
    everything = Rewrite(replace(rewrite.change, where_clause=None))
    statements = {
        "read": rewrite.read(Lower(low, inclusive=False), high, ["id", 'Ö "x"'], 500),
        "read everything": everything.read(None, high, [], 1),
        "lock": rewrite.lock([low, high]),
        "write": rewrite.write(COLUMNS, "[]"),
    }
    text = "\n".join(f"-- {name}\n{s.sql}\n-- {list(s.arguments)}\n" for name, s in statements.items())
    file = GOLDEN / f"rewrite-{key}.sql"
    if os.environ.get("PGBACKFILL_WRITE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
