"""The SQL of a shadow, word for word. PGBACKFILL_WRITE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgbackfill.keyset.key import KeyColumn, Lower
from pgbackfill.shadow.statements import Column, Pair

FOLDER = Path(__file__).parent / "golden"
PAIRS = {
    "integer": Pair(
        leader='"public"."orders"',
        follower='"public"."orders_shadow"',
        function='"public"."pgbackfill_shadow_1_forth"',
        key=(KeyColumn("id", "integer"),),
        columns=(Column("id", "bigint"), Column("number", "bigint", always=True), Column("total", "numeric(10,2)")),
    ),
    "composite": Pair(
        leader='"My ""S"""."t"',
        follower='"My ""S"""."u"',
        function='"My ""S"""."f"',
        key=(KeyColumn("Ä", '"x y".citext'), KeyColumn("n", "integer")),
        columns=(Column("n", "integer"), Column("Ä", '"x y".citext')),
        search_path='pg_catalog, "x y", pg_temp',
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_sql_of_a_shadow(name: str) -> None:
    both = PAIRS[name]
    key = tuple("7" for _ in both.key)
    lower = Lower(key, inclusive=False)
    parts = [both.follow_function(), *both.follow(), *both.unfollow()]
    for statement in (
        both.boundary(None, 500),
        both.boundary(lower, 500),
        both.compare(lower, key),
        both.compare(lower, None),
        both.differences(lower, key, 10),
    ):
        parts += [statement.sql, f"-- {list(statement.arguments)}"]
    text = "\n\n".join(parts) + "\n"
    file = FOLDER / f"{name}.sql"
    if os.environ.get("PGBACKFILL_WRITE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
