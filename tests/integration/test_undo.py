"""Undo puts back every row that a job has changed, and no row that somebody has written since."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.field import Field
from support.steps import Steps

from pgbackfill.keyset.statement import Form

USERS = (
    "CREATE TABLE users (id bigint PRIMARY KEY, email text, n int, other int)",
    "INSERT INTO users SELECT i, CASE WHEN i % 5 > 0 THEN 'User' || i END, i % 3 FROM generate_series(1, 40) AS i",
)
JOB = {"table_name": "users", "set_clause": "email = lower(email), n = n + id", "where_clause": "n > 0"}


async def table(field: Field, columns: str = "id, email, n") -> list[tuple[Any, ...]]:
    return await field.rows(f"SELECT {columns} FROM users ORDER BY id")


async def undo(field: Field, name: str = "job") -> Any:
    await field.value("SELECT pgbackfill.undo($1)", name)
    assert await field.drain() == 0, await field.error(f"{name}.undo")
    return await field.succeeded(f"{name}.undo")


@pytest.mark.newest
@pytest.mark.parametrize("where", [{}, {"where_clause": "n > 0"}])
async def test_what_was_there_is_put_back(database: Any, where: dict[str, str]) -> None:
    field = await Field.open(database, *USERS)
    before = await table(field)
    done = (
        await field.backfill(**JOB | where, keep_old=True)
        if where
        else await field.backfill(table_name="users", set_clause=JOB["set_clause"], keep_old=True)
    )
    assert done["rows_changed"] == (27 if where else 40)
    assert await table(field) != before
    assert (await undo(field))["rows_changed"] == done["rows_changed"]
    assert await table(field) == before


async def test_a_row_that_somebody_wrote_since_is_left_alone(database: Any) -> None:
    field = await Field.open(database, *USERS)
    before = {row[0]: row for row in await table(field)}
    await field.backfill(table_name="users", set_clause="n = n + 1", keep_old=True)
    await field.execute("UPDATE users SET n = 100 WHERE id = 3")
    # Whatever was written: who changes another column may have done it because of this one.
    await field.execute("UPDATE users SET other = 1 WHERE id = 4")
    await field.execute("DELETE FROM users WHERE id = 5; INSERT INTO users VALUES (41, 'new', 9)")
    done = await undo(field)
    assert done["rows_changed"] == 37
    after = {row[0]: row for row in await table(field)}
    assert (after[3][2], after[4][2], after[41][2]) == (100, 2, 9)
    assert {key: row for key, row in after.items() if key not in (3, 4, 41)} == {
        key: row for key, row in before.items() if key not in (3, 4, 5)
    }
    # A second undo of the same finds nothing of its own.
    assert await field.value("SELECT count(*) FROM pgbackfill.jobs") == 2
    await field.value("SELECT pgbackfill.undo('job')")
    assert await field.value("SELECT count(*) FROM pgbackfill.jobs") == 2


@pytest.mark.newest
async def test_an_inverse_is_applied_to_the_rows_that_were_changed(database: Any) -> None:
    field = await Field.open(database, *USERS)
    before = await table(field)
    await field.backfill(table_name="users", set_clause="n = n * 2", where_clause="n = 2", undo_set_clause="n = n / 2")
    assert (await undo(field))["rows_changed"] == 13
    assert await table(field) == before


async def test_unusual_names_types_and_keys_are_put_back(database: Any) -> None:
    field = await Field.open(
        database,
        'CREATE TABLE "Odd" ("Tenant id" int, at timestamptz, "select" numeric(9,2), tags text[], body jsonb,'
        ' PRIMARY KEY ("Tenant id", at)) PARTITION BY RANGE ("Tenant id")',
        'CREATE TABLE o1 PARTITION OF "Odd" FOR VALUES FROM (0) TO (5)',
        'CREATE TABLE o2 PARTITION OF "Odd" FOR VALUES FROM (5) TO (99)',
        "INSERT INTO \"Odd\" SELECT i, 'infinity', i / 3.0, ARRAY['a', NULL], 'null' FROM generate_series(0, 9) AS i",
        "CREATE TABLE other AS SELECT i AS tenant FROM generate_series(0, 7) AS i",
    )
    before = await field.rows('SELECT * FROM "Odd" ORDER BY 1')
    await field.backfill(
        table_name='"Odd"', set_clause="(\"select\", body) = (1, '{}'), tags[1] = 'b'", from_clause="other AS o",
        where_clause='o.tenant = t."Tenant id"', keep_old=True,
    )  # fmt: skip
    assert await field.value("SELECT kept_columns FROM pgbackfill.jobs") == ["select", "tags", "body"]
    assert (await undo(field))["rows_changed"] == 8
    assert await field.rows('SELECT * FROM "Odd" ORDER BY 1') == before


@pytest.mark.newest
async def test_old_values_commit_together_with_their_chunk(database: Any) -> None:
    field = await Field.open(database, *USERS)
    steps = await Steps.begin(field, table_name="users", set_clause="n = n + 1", keep_old=True)
    assert steps.form is Form.JOINED
    job_id = await field.value("SELECT id FROM pgbackfill.jobs")
    assert (await steps.run(10)).rows_changed == 10
    assert await field.value(f"SELECT count(*) FROM pgbackfill.old_{job_id}") == 10
    await field.execute("UPDATE users SET n = 70 WHERE id = 11")
    await steps.finish(10)
    kept = await field.rows(f"SELECT id, n FROM pgbackfill.old_{job_id} WHERE id = 11")
    assert kept == [(11, 70)], "the value that the chunk replaced, not an older one"
    await field.execute("SELECT pgbackfill.cancel('job')")


@pytest.mark.newest
async def test_a_row_that_a_repair_changes_again_keeps_its_first_value(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id NOT IN (5, 20) OR EXISTS"
        " (SELECT FROM pgbackfill.mismatches) THEN RETURN NEW; END IF; RETURN NULL; END $$;"
        " CREATE TRIGGER keep BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    before = await table(field)
    await field.backfill(
        table_name="users", set_clause="email = 'x' || id", keep_old=True,
        options={"verify": "repair", "chunk_max_rows": 100},
    )  # fmt: skip
    assert [v["mismatches"] for v in await field.events("verified")] == [2, 0]
    await field.execute("DROP TRIGGER keep ON users")
    await undo(field)
    assert await table(field) == before


@pytest.mark.newest
async def test_the_side_table_goes_with_its_job(database: Any) -> None:
    field = await Field.open(database, *USERS)
    job_id = await field.enqueue(**JOB, keep_old=True)
    assert await field.value("SELECT to_regclass($1) IS NOT NULL", f"pgbackfill.old_{job_id}")
    await field.execute("DELETE FROM pgbackfill.jobs")
    assert await field.value("SELECT to_regclass($1) IS NULL", f"pgbackfill.old_{job_id}")


@pytest.mark.newest
@pytest.mark.parametrize(
    ("row", "column", "said"),
    [
        ({"operation": "delete", "keep_old": True}, "keep_old", "does not go with operation delete"),
        (
            {"set_clause": "n = 1", "keep_old": True, "undo_set_clause": "n = 2"},
            "undo_set_clause",
            "is of no use beside",
        ),
        (
            {"set_clause": "n = 1", "undo_set_clause": "m = 2"},
            "undo_set_clause",
            'column "m" of relation "users" does not',
        ),
        ({"set_clause": "n = 1", "undo_set_clause": "n = id"}, "undo_set_clause", "columns need a qualifier"),
        ({"set_clause": "n = 1", "undo_set_clause": "id = 2"}, "undo_set_clause", "key"),
    ],
)
async def test_what_cannot_be_undone_is_refused_at_insert(
    shop: Any, row: dict[str, Any], column: str, said: str
) -> None:
    error = await shop.refusal(**row)
    assert (error.column_name, said in error.message) == (column, True), error.message
    assert await shop.untouched()


@pytest.mark.newest
async def test_a_login_that_may_only_enqueue_can_undo_its_own_job(shop: Any) -> None:
    login = await shop.database.login("pgbackfill_enqueuer")
    await shop.connection.execute("GRANT SELECT, UPDATE ON users TO pgbackfill_enqueuer")
    connection = await shop.database.connect(login)
    await shop.insert(connection, set_clause="n = 1", keep_old=True)
    with pytest.raises(Exception, match='job "job" is queued; cancel it first'):
        await connection.fetchval("SELECT pgbackfill.undo('job')")
    await connection.execute("SELECT pgbackfill.cancel('job')")
    assert await connection.fetchval("SELECT pgbackfill.undo('job')") is not None
    row = json.loads(
        await shop.connection.fetchval("SELECT to_jsonb(j)::text FROM pgbackfill.jobs j WHERE name = 'job.undo'")
    )
    assert (row["table_name"], row["set_clause"]) == ("public.users", "n = pgbackfill_old.n")
