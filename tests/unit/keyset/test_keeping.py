"""The statement that keeps what it replaces, word for word."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pgbackfill.keyset.keeping import keeping
from pgbackfill.keyset.key import KeyColumn
from pgbackfill.keyset.statement import Change

GOLDEN = Path(__file__).parent / "golden"
KEY = (KeyColumn("tenant", "integer"), KeyColumn("Id", "bigint"))
PLAIN = Change("job", "update", '"public"."users"', KEY, set_clause="n = n + 1 -- one", where_clause="n < 5 -- small")
BESIDE = replace(PLAIN, from_clause="other AS o -- two", where_clause="o.id = t.id", where_stands_alone=False)


@pytest.mark.parametrize(("name", "change"), [("plain", PLAIN), ("beside", BESIDE)])
@pytest.mark.parametrize(("kept", "columns"), [("values", ["n", "Odd one"]), ("keys", [])])
def test_the_builder_writes_what_was_reviewed(name: str, change: Change, kept: str, columns: list[str]) -> None:
    statement = keeping(change, 42, columns).change_joined([["1", "2"], ["3", "4"]])
    written = f"{statement.sql}\n-- {list(statement.arguments)}\n"
    file = GOLDEN / f"keeping-{name}-{kept}.sql"
    if os.environ.get("PGBACKFILL_WRITE_GOLDEN"):
        file.write_text(written, encoding="utf-8")
    assert written == file.read_text(encoding="utf-8")
    for clause in filter(None, (change.set_clause, change.from_clause, change.where_clause)):
        assert statement.sql.count(clause) == statement.sql.count(clause + "\n") > 0
