"""The SQL of a chunk, word for word.

The golden files are the review: a change of the builder shows as a change of the SQL that it writes. Run with
PGBACKFILL_WRITE_GOLDEN=1 to write them anew, and read the difference.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pgbackfill.keyset.key import KeyColumn, KeyText, Lower
from pgbackfill.keyset.sample import sampled_keys
from pgbackfill.keyset.statement import Change, Statement

GOLDEN = Path(__file__).parent / "golden"

KEYS: dict[str, tuple[tuple[KeyColumn, ...], KeyText, KeyText]] = {
    "integer": ((KeyColumn("id", "bigint"),), ("7",), ("99",)),
    "composite": (
        (KeyColumn("tenant", "uuid"), KeyColumn("at", "timestamp with time zone")),
        ("00000000-0000-0000-0000-00000000000a", "2024-01-01 00:00:00+00"),
        ("00000000-0000-0000-0000-00000000000b", "infinity"),
    ),
    "odd": (
        (KeyColumn('Key "1".x', "character(3)"), KeyColumn("schlüssel $1", '"My Schema"."Enum"')),
        ("a'b", "{%s}"),
        ("z", "\\"),
    ),
}
CHANGES = {
    "update": Change("users-email", "update", '"public"."users"', (), set_clause="n = n + 1"),
    "update where": Change(
        "users-email", "update", '"public"."users"', (), set_clause="n = n + 1 -- one", where_clause="n < 5 -- small"
    ),
    "update from": Change(
        "users-email",
        "update",
        '"public"."users"',
        (),
        set_clause="n = s.n",
        from_clause="LATERAL (SELECT 1 AS n) AS s -- one",
        where_clause="s.n > 0",
        where_stands_alone=False,
    ),
    "delete where": Change("old", "delete", '"public"."ünï ""q"" .dot"', (), where_clause="done"),
    "delete using": Change("old", "delete", '"public"."users"', (), from_clause="gone AS g", where_clause="t.id = g.id",
                           where_stands_alone=False),
    "statement": Change("copy", "statement", '"public"."users"', (), statement="INSERT INTO x SELECT * FROM chunk",
                        where_clause="n < 5"),
    "copy": Change("users-new", "copy", '"public"."users"', (), where_clause="n < 5 -- small",
                   target='"public"."users new"', columns=("id", 'odd "name"')),
    "leaf": Change("users-email", "update", '"public"."users_1"', (), set_clause="n = n + 1", partition_of=16384),
}  # fmt: skip


def _statements(change: Change, low: KeyText, high: KeyText) -> dict[str, Statement]:
    lowers = {
        "from the start": None,
        "after the cursor": Lower(low, inclusive=False),
        "from a bound": Lower(low, inclusive=True),
        "from a prefix": Lower(low[:1], inclusive=True),
    }
    found = {"relation oid": Statement(change.relation_oid)}
    for where, lower in lowers.items():
        found[f"boundary {where}"] = change.boundary(lower, high, 500)
        found[f"tail {where}"] = change.tail(lower, high)
        found[f"last key {where}"] = change.last_key(lower, high[:1])
        if change.operation != "statement" and change.from_clause is None:
            found[f"change range {where}"] = change.change_range(lower, high)
        found[f"lock and count {where}"] = change.lock_and_count(lower, high)
        found[f"lock and list {where}"] = change.lock_and_list(lower, high)
    found["last key of all"] = change.last_key(None, None)
    found["count estimate"] = change.count_estimate(None, None)
    found["sampled keys"] = sampled_keys(change, Lower(low[:1], inclusive=True), high, 0.125)
    found["sampled keys of the whole walk"] = sampled_keys(change, None, high, None)
    if change.operation == "copy":
        return found
    found["change joined"] = change.change_joined([[a, b] for a, b in zip(low, high, strict=True)])
    found["change joined, not measured"] = change.change_joined(
        [list(key) for key in zip(low, high, strict=True)], measured=False
    )
    return found


@pytest.mark.parametrize("shape", KEYS)
@pytest.mark.parametrize("kind", CHANGES)
def test_the_builder_writes_what_was_reviewed(kind: str, shape: str) -> None:
    key, low, high = KEYS[shape]
    written = ""
    for name, statement in _statements(replace(CHANGES[kind], key=key), low, high).items():
        written += f"-- {name}\n{statement.sql}\n-- {list(statement.arguments)}\n\n"
    file = GOLDEN / f"{kind.replace(' ', '_')}-{shape}.sql"
    if os.environ.get("PGBACKFILL_WRITE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(written, encoding="utf-8")
    assert written == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("shape", KEYS)
@pytest.mark.parametrize("kind", CHANGES)
def test_a_persons_clause_ends_its_line(kind: str, shape: str) -> None:
    """So that a comment at its end swallows nothing of ours."""
    key, low, high = KEYS[shape]
    change = replace(CHANGES[kind], key=key)
    clauses = [change.set_clause, change.from_clause, change.where_clause, change.statement]
    for statement in _statements(change, low, high).values():
        for clause in filter(None, clauses):
            assert statement.sql.count(clause) == statement.sql.count(clause + "\n")


@pytest.mark.parametrize("shape", KEYS)
@pytest.mark.parametrize("kind", CHANGES)
def test_no_value_is_ever_part_of_the_text(kind: str, shape: str) -> None:
    key, low, high = KEYS[shape]
    change = replace(CHANGES[kind], key=key)
    for statement in _statements(change, ("lo'w",) * len(low), ("hi'gh",) * len(high)).values():
        assert "lo'w" not in statement.sql
        assert "hi'gh" not in statement.sql
        places = {f"${i}::text" in statement.sql for i in range(1, len(statement.arguments) + 1)}
        assert places <= {True}


def test_every_statement_names_its_job() -> None:
    key, low, high = KEYS["integer"]
    found = _statements(replace(CHANGES["update where"], key=key), low, high)
    del found["relation oid"]
    assert all(s.sql.startswith("/* pgbackfill job=users-email */ ") for s in found.values())


def test_a_delete_takes_the_lock_that_it_will_need() -> None:
    key, _, high = KEYS["integer"]
    assert " FOR UPDATE OF t" in replace(CHANGES["delete where"], key=key).lock_and_count(None, high).sql
    assert " FOR NO KEY UPDATE OF t" in replace(CHANGES["update"], key=key).lock_and_count(None, high).sql
