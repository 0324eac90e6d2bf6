"""A copy job: every row goes over once, rows that are there stay as they are, deleted ones do not come back."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from support.field import Field, eventually
from support.shapes import SHAPES, create_table, insert_into, key_names
from support.steps import Steps

from pgbackfill.keyset.statement import Form

ORDERS = """
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, gone text, tag text,
    doubled int GENERATED ALWAYS AS (n * 2) STORED);
CREATE TABLE orders_new (tag varchar(9) UNIQUE, id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n bigint NOT NULL,
    doubled int GENERATED ALWAYS AS (n * 3) STORED, added text NOT NULL DEFAULT 'new');
INSERT INTO orders (n, tag) SELECT i, 'tag' || i FROM generate_series(1, 40) AS i;
"""
COPY = {"table_name": "orders", "operation": "copy", "target_table": "orders_new"}


async def test_rows_go_over_with_the_columns_that_both_tables_have(database: Any) -> None:
    field = await Field.open(database, ORDERS, "INSERT INTO orders_new (id, n) OVERRIDING SYSTEM VALUE VALUES (7, 0)")
    progress = await field.backfill(**COPY, where_clause="n <= 30 -- the old ones")
    assert (progress["rows_scanned"], progress["rows_changed"]) == (40, 29)
    assert await field.rows(
        """SELECT count(*), count(*) FILTER (WHERE c.n = o.n AND c.tag = o.tag AND c.doubled = 3 * o.n), min(added)
           FROM orders_new AS c JOIN orders AS o USING (id)"""
    ) == [(30, 29, "new")]


@pytest.mark.newest
async def test_a_table_with_any_key_is_copied(database: Any) -> None:
    field = await Field.open(database)
    for shape in SHAPES:
        await field.execute(
            f"""{create_table(shape)}; {insert_into(shape)} FROM generate_series(1, 50) AS i;
                CREATE TABLE "to {shape}" (LIKE "{shape}" INCLUDING ALL)"""
        )
        await field.enqueue(
            name=shape.replace(", ", "-"), table_name=f'"{shape}"', operation="copy", target_table=f'"to {shape}"'
        )
    assert await field.drain() == 0
    for shape in SHAPES:
        join = f'"to {shape}" AS c JOIN "{shape}" AS t USING ({key_names(shape)}, i, n)'
        assert await field.value(f"SELECT count(*) FROM {join}") == 50, shape


async def test_from_partitions_into_a_table_and_from_a_table_into_partitions(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE parted (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)",
        "CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (20)",
        "CREATE TABLE high PARTITION OF parted FOR VALUES FROM (20) TO (100)",
        "CREATE TABLE whole (n int, id int PRIMARY KEY)",
        "CREATE TABLE again (LIKE parted INCLUDING ALL) PARTITION BY HASH (id)",
        "CREATE TABLE again_0 PARTITION OF again FOR VALUES WITH (modulus 2, remainder 0)",
        "CREATE TABLE again_1 PARTITION OF again FOR VALUES WITH (modulus 2, remainder 1)",
        "INSERT INTO parted SELECT i, i FROM generate_series(1, 40) AS i",
    )
    await field.backfill(name="there", table_name="parted", operation="copy", target_table="whole")
    await field.backfill(name="back", table_name="whole", operation="copy", target_table="again")
    assert await field.value("SELECT count(*) FROM parted JOIN again USING (id, n)") == 40


async def test_a_row_that_collides_with_another_key_is_set_aside_and_named(database: Any) -> None:
    field = await Field.open(
        database, ORDERS, "INSERT INTO orders_new (id, n, tag) OVERRIDING SYSTEM VALUE VALUES (100, 0, 'tag13')"
    )
    progress = await field.backfill(**COPY)
    assert (progress["rows_changed"], progress["rows_quarantined"]) == (39, 1)
    assert await field.rows("SELECT key, sqlstate FROM pgbackfill.quarantine") == [(["13"], "23505")]


async def test_a_row_that_is_being_deleted_does_not_come_back(database: Any) -> None:
    """Its delete commits between the snapshot of a chunk and the INSERT; its trigger finds nothing to delete yet."""
    field = await Field.open(
        database,
        ORDERS,
        """CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN DELETE FROM orders_new WHERE id = OLD.id; RETURN NULL; END $$""",
        "CREATE TRIGGER follow AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION follow()",
    )
    steps = await Steps.begin(field, **COPY)
    assert steps.form is Form.RANGE
    deleter = await database.connect()
    transaction = deleter.transaction()
    await transaction.start()
    await deleter.execute("DELETE FROM orders WHERE id IN (3, 4)")
    pid = await steps.connection.fetchval("SELECT pg_backend_pid()")

    async def waits() -> bool:
        return bool(await field.value("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", pid))

    async with anyio.create_task_group() as tasks:

        async def copy() -> None:
            await steps.run(40, lock_timeout_ms=20_000)

        tasks.start_soon(copy)
        await eventually(waits)
        await transaction.commit()
    assert await field.value("SELECT count(*) FROM orders_new") == 38
    assert await field.value("SELECT count(*) FROM orders_new WHERE id IN (3, 4)") == 0


@pytest.mark.newest
async def test_the_work_login_is_told_what_it_needs(database: Any) -> None:
    field = await Field.open(database, ORDERS)
    await field.enqueue(**COPY)
    dsn = await database.login("pgbackfill_worker")
    assert await field.drain(work_dsn=dsn) == 1
    error = await field.error() or ""
    grants = [part.strip() for part in error.split(";") if part.strip().startswith("GRANT ")]
    assert any("INSERT" in grant and "orders_new" in grant for grant in grants), error
    for grant in grants:
        await field.execute(grant)
    await field.execute("SELECT pgbackfill.retry('job')")
    assert await field.drain(work_dsn=dsn) == 0, await field.error()
    assert await field.value("SELECT count(*) FROM orders_new") == 40


@pytest.mark.newest
async def test_a_job_whose_target_was_dropped_fails_with_a_sentence(database: Any) -> None:
    field = await Field.open(database, ORDERS)
    await field.enqueue(**COPY)
    await field.execute("DROP TABLE orders_new")
    assert await field.drain() == 1
    assert await field.error() == "the table that job copies to was dropped; enqueue it again"
