"""Keys: which index a job walks by, and why another one is refused."""

from __future__ import annotations

from typing import Any

import pytest
from support.malformed import DDL


async def test_an_index_that_would_do_but_for_an_expression_is_named(shop: Any) -> None:
    await shop.connection.execute(DDL["keys"])
    error = await shop.refusal(table_name="keys", set_clause="n = 1", key_columns=["word"])
    assert error.hint == 'index "Lower" is on an expression; name a unique NOT NULL key of plain columns'


async def test_an_invalid_index_is_refused(shop: Any) -> None:
    await shop.connection.execute("CREATE TABLE twice (a int NOT NULL, n int); INSERT INTO twice VALUES (1), (1)")
    with pytest.raises(Exception, match="could not create unique index"):
        await shop.connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON twice (a)")
    error = await shop.refusal(table_name="twice", set_clause="n = 1", key_columns=["a"])
    assert "index broken is invalid" in error.message
    error = await shop.refusal(table_name="twice", set_clause="n = 1")
    assert "public.twice has no key to walk by" in error.message
    assert "index broken is invalid" in error.hint


async def test_a_not_null_that_was_never_validated_is_not_believed(shop: Any) -> None:
    if shop.connection.get_server_version() < (18,):
        return  # the syntax begins there
    await shop.connection.execute(
        "CREATE TABLE unsure (a int UNIQUE, n int); ALTER TABLE unsure ADD CONSTRAINT set NOT NULL a NOT VALID"
    )
    error = await shop.refusal(table_name="unsure", set_clause="n = 1", key_columns=["a"])
    assert "holds column a, which may be null" in error.message


async def test_the_key_of_a_partitioned_table_is_on_the_table_itself(shop: Any) -> None:
    await shop.connection.execute(
        "CREATE UNIQUE INDEX leaf_only ON visits_old (id); CREATE UNIQUE INDEX alone ON ONLY visits (day, id)"
    )
    error = await shop.refusal(table_name="visits", set_clause="n = 1", key_columns=["day", "id"])
    assert "index alone is invalid" in error.message
    error = await shop.refusal(table_name="visits", set_clause="n = 1", key_columns=["id"])
    assert "index visits_pkey is on (id, day)" in error.message
    job = await shop.accepted(table_name="visits_old", set_clause="n = 1", key_columns=["id"])
    root = await shop.connection.fetchval("SELECT 'visits'::regclass::oid")
    assert (job["key_columns"], job["root_relation"]) == (["id"], root)


async def test_without_key_columns_the_best_key_is_chosen(shop: Any) -> None:
    await shop.connection.execute(
        """
        CREATE TABLE primary_wins (a int UNIQUE NOT NULL, b int, c int, n int, PRIMARY KEY (b, c));
        CREATE TABLE narrowest (a int NOT NULL, b int NOT NULL, c int NOT NULL, n int, UNIQUE (a, b), UNIQUE (c));
        CREATE TABLE same_twice (a int NOT NULL UNIQUE, n int);
        CREATE UNIQUE INDEX again ON same_twice (a) INCLUDE (n);
        CREATE TABLE slack (a int NOT NULL UNIQUE, b int, n int, PRIMARY KEY (b) DEFERRABLE);
        CREATE TABLE undecided (a int NOT NULL UNIQUE, b int NOT NULL UNIQUE, n int);
        CREATE TABLE keyless (a int, n int);
        """
    )
    for table, key in (
        ("primary_wins", ["b", "c"]), ("narrowest", ["c"]), ("same_twice", ["a"]), ("slack", ["a"]),
        ("visits", ["id", "day"]),
    ):  # fmt: skip
        assert (await shop.accepted(table_name=table, set_clause="n = 1"))["key_columns"] == key
    error = await shop.refusal(table_name="undecided", set_clause="n = 1")
    assert error.message.endswith("public.undecided has several usable keys and no primary key; name one: a or b")
    error = await shop.refusal(table_name="keyless", set_clause="n = 1")
    assert error.message.endswith("give it a primary key or a unique index on NOT NULL columns")


TYPES = {
    "smallint": ("1", "2"),
    "bigint": ("-5", "12"),
    "numeric": ("-1.50", "1e3"),
    "numeric(8, 2)": ("1.25", "7"),
    "double precision": ("-Infinity", "NaN"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "FFFFFFFF-0000-0000-0000-000000000000"),
    "text": ("", "z'\\\""),
    'text COLLATE "C"': ("Z", "a"),
    "varchar(5)": ("a", "b%"),
    "char(3)": ("a", "b"),
    "date": ("2025-01-31", "infinity"),
    "timestamptz": ("2025-01-31 12:00+00", "2025-02-01"),
    "time": ("00:00", "23:59:59.5"),
    "interval": ("1 hour", "2 days"),
    "bytea": ("\\x00", "\\xff"),
    "inet": ("10.0.0.1", "10.0.0.2"),
    "boolean": ("false", "true"),
    "mood": ("sad", "glad"),
    "int[]": ("{1,2}", "{1,3}"),
    "bit(3)": ("001", "100"),
    "positive": ("1", "2"),
}


async def test_every_type_with_a_default_order_can_be_a_key(shop: Any) -> None:
    await shop.connection.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    await shop.connection.execute("CREATE DOMAIN positive AS int CHECK (value > 0)")
    for type_name, (low, high) in TYPES.items():
        await shop.connection.execute(f"CREATE TABLE typed (k {type_name} PRIMARY KEY, n int)")
        row: dict[str, Any] = {"table_name": "typed", "set_clause": "n = 1"}
        job = await shop.accepted(**row, from_key=[low], to_key=[high])
        # The text that is kept is accepted again and means the same.
        again = await shop.accepted(**row, from_key=job["from_key"], to_key=job["to_key"])
        assert (again["from_key"], again["to_key"]) == (job["from_key"], job["to_key"]), type_name
        error = await shop.refusal(**row, from_key=[high], to_key=[low])
        assert error.column_name == "to_key", type_name
        await shop.accepted(**row, from_clause="LATERAL (SELECT chunk.k) AS s", where_clause="t.k = s.k")
        await shop.connection.execute("DROP TABLE typed")


async def test_odd_names_are_no_obstacle(shop: Any) -> None:
    await shop.connection.execute(
        """
        CREATE SCHEMA "Größe.1";
        CREATE TABLE "Größe.1"."Odd ""Table"".%s" (
            "The Key" int, "select" uuid, "%I" int, "naïve" text, PRIMARY KEY ("The Key", "select", "%I"))
        """
    )
    table = '"Größe.1"."Odd ""Table"".%s"'
    job = await shop.accepted(table_name=table, set_clause="\"naïve\" = '%s'", where_clause='"The Key" > 5')
    assert job["key_columns"] == ["The Key", "select", "%I"]
    await shop.accepted(
        table_name=table, set_clause='"naïve" = chunk."%I"', from_clause="users AS u", from_key=["1"], to_key=["1"]
    )
    error = await shop.refusal(table_name=table, set_clause='"%I" = 1')
    assert '"%I"' in error.message
