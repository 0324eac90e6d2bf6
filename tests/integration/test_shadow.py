"""Replacing a table: what hangs on it moves with the name, both ways; what cannot move is refused by name."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import pytest
from support import shadows
from support.field import Field

from pgbackfill.database.bounded import LocksNotTaken, Patience
from pgbackfill.errors import PgbackfillError
from pgbackfill.shadow import remove, swap
from pgbackfill.shadow.state import Stage

ALTERS = ("ALTER COLUMN id TYPE bigint", "ADD COLUMN note text NOT NULL DEFAULT 'new'", "SET (fillfactor = 80)")

INVENTORY = """
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) || convalidated
  FROM pg_constraint WHERE conrelid IN ('orders'::regclass, 'items'::regclass) AND contype <> 'n'
UNION ALL SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text,
                 substring(pg_get_indexdef(indexrelid) FROM 'USING.*')
  FROM pg_index WHERE indrelid = 'orders'::regclass
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, tgenabled::text
  FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'orders'::regclass AND tgname NOT LIKE 'pgbackfill%'
UNION ALL SELECT 'policy', polrelid::regclass::text, polname, pg_get_expr(polqual, polrelid) FROM pg_policy
 WHERE polrelid = 'orders'::regclass
UNION ALL SELECT 'grant', a.grantee::regrole::text, a.privilege_type, a.is_grantable::text
  FROM pg_class, aclexplode(relacl) AS a WHERE oid = 'orders'::regclass AND a.grantee <> relowner
UNION ALL SELECT 'column grant', a.grantee::regrole::text, a.privilege_type, attname
  FROM pg_attribute, aclexplode(attacl) AS a WHERE attrelid = 'orders'::regclass
UNION ALL SELECT 'sequence', attname, pg_get_serial_sequence('orders', attname), attidentity::text
  FROM pg_attribute WHERE attrelid = 'orders'::regclass AND pg_get_serial_sequence('orders', attname) IS NOT NULL
UNION ALL SELECT 'table', relrowsecurity::text, relowner::regrole::text, obj_description(oid, 'pg_class')
  FROM pg_class WHERE oid = 'orders'::regclass
UNION ALL SELECT 'view', viewname, definition, '' FROM pg_views WHERE schemaname = 'public'
UNION ALL SELECT 'options', relname, reloptions::text, '' FROM pg_class WHERE relkind = 'v' AND reloptions IS NOT NULL
ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
async def rich(database: Any) -> Any:
    """Roles belong to the whole cluster, on which several workers test: each makes its own."""
    field = await Field.open(database)
    role = f"reader_{await field.value('SELECT current_database()')}"
    await field.execute(re.sub(r"\breader\b", role, shadows.RICH))
    yield field
    await field.execute(f"DROP OWNED BY {role}")
    await field.execute(f"DROP ROLE {role}")


async def test_everything_that_hangs_on_a_table_moves_with_its_name_and_back(rich: Field) -> None:
    before = await rich.rows(INVENTORY)
    await shadows.created(rich, alters=ALTERS)
    assert await rich.drain() == 0, await rich.rows("SELECT error FROM pgbackfill.jobs")
    assert (await shadows.same(rich)).rows == 40
    await rich.execute("INSERT INTO orders (customer, code) VALUES (2, 'between')")

    cut = await shadows.cutover(rich)
    assert cut.stage is Stage.CUT_OVER
    assert await rich.rows(INVENTORY) == before
    assert await rich.value("SELECT pg_typeof(id)::text || note FROM orders WHERE id = 1") == "bigintnew"
    await rich.execute(
        """INSERT INTO orders (customer, parent, code, total) VALUES (3, 1, 'late', 99);
           UPDATE orders SET total = total + 1 WHERE id % 3 = 0;
           DELETE FROM customers WHERE id = 9; UPDATE orders SET id = 1000 WHERE code = 'late'"""
    )
    assert await rich.rows("SELECT id, number, touched FROM orders WHERE code IN ('between', 'late') ORDER BY id") == [
        (41, 41, 0), (1000, 42, 2),
    ]  # fmt: skip
    assert await rich.value("SELECT total FROM biggest") == 100, "the view reads the new table"
    assert await rich.value("SELECT count(*) FROM items") == await rich.value("SELECT count(*) FROM orders") - 2
    with pytest.raises(asyncpg.ForeignKeyViolationError, match='"items_order"'):
        await rich.execute("INSERT INTO items VALUES (100, 77)")
    assert (await shadows.same(rich)).same

    back = await shadows.rollback(rich)
    assert back.stage is Stage.COPYING
    assert await rich.rows(INVENTORY) == before
    await rich.execute("INSERT INTO orders (customer, code) VALUES (2, 'back'); DELETE FROM orders WHERE id = 5")
    assert await rich.value("SELECT number FROM orders WHERE code = 'back'") == 43
    assert (await shadows.same(rich)).same

    await shadows.cutover(rich)
    dropped = await remove.drop(rich.connection, await shadows.now(rich), shadows.PATIENCE)
    assert await remove.drop(rich.connection, dropped, shadows.PATIENCE) == dropped, "again, for nothing"
    assert await rich.rows(INVENTORY) == before
    assert await rich.rows("SELECT relname FROM pg_class WHERE relname LIKE 'orders\\_%' AND relkind = 'r'") == []
    await rich.execute("INSERT INTO orders (customer) VALUES (1); TRUNCATE orders CASCADE")
    assert await rich.value("SELECT count(*) FROM pg_proc WHERE proname LIKE 'pgbackfill_shadow%'") == 0


async def test_an_abort_leaves_the_table_as_it_was(rich: Field) -> None:
    before, rows = await rich.rows(INVENTORY), await rich.rows("SELECT * FROM orders ORDER BY id")
    await shadows.created(rich, alters=ALTERS)
    aborted = await remove.abort(rich.connection, await shadows.now(rich), shadows.PATIENCE)
    assert await remove.abort(rich.connection, aborted, shadows.PATIENCE) == aborted
    assert await rich.rows(INVENTORY) == before
    assert await rich.rows("SELECT * FROM orders ORDER BY id") == rows
    assert await rich.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgbackfill%'") == 0
    assert await rich.rows("SELECT status FROM pgbackfill.jobs") == [("cancelled",)]
    assert (await shadows.created(rich)).id > aborted.id, "the name is free again"


async def test_truncate_and_rows_of_any_isolation_level_are_followed(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE orders (id int PRIMARY KEY, n int)",
        "INSERT INTO orders SELECT i, i FROM generate_series(1, 20) AS i",
    )
    await shadows.created(field)
    for level in ("read_committed", "repeatable_read", "serializable"):
        async with field.connection.transaction(isolation=level):
            await field.execute("DELETE FROM orders WHERE id = 3; INSERT INTO orders VALUES (3, 4)")
            await field.execute(
                "UPDATE orders SET id = id + 1000 WHERE id > 18 AND id < 1000; DELETE FROM orders WHERE id > 900"
            )
            await field.execute("INSERT INTO orders VALUES (19, 19), (20, 20)")
    # Taken before the copy, this snapshot does not see what the copy brings.
    old = await database.connect()
    transaction = old.transaction(isolation="repeatable_read")
    await transaction.start()
    assert await old.fetchval("SELECT count(*) FROM orders_shadow WHERE id < 10") == 1
    await field.execute("SELECT pg_current_xact_id()")
    assert await field.drain() == 0
    with pytest.raises(asyncpg.SerializationError):
        await old.execute("DELETE FROM orders WHERE id = 5")
    await transaction.rollback()
    assert (await shadows.same(field)).rows == 20
    await field.execute("TRUNCATE orders; INSERT INTO orders VALUES (7, 7)")
    assert await field.rows("SELECT * FROM orders_shadow") == [(7, 7)]
    await shadows.cutover(field)
    await field.execute("TRUNCATE orders; INSERT INTO orders VALUES (8, 8)")
    assert await field.rows("SELECT * FROM orders_old") == [(8, 8)]


@pytest.mark.newest
@pytest.mark.parametrize("level", ["repeatable_read", "serializable"])
async def test_a_row_that_only_an_old_snapshot_still_sees_is_not_followed(database: Any, level: str) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE orders (id int PRIMARY KEY, n int)",
        "INSERT INTO orders SELECT i, i FROM generate_series(1, 9) AS i",
    )
    await shadows.created(field)
    assert await field.drain() == 0
    old = await database.connect()
    async with old.transaction(isolation=level):
        assert await old.fetchval("SELECT count(*) FROM orders") == 9
        await field.execute("DELETE FROM orders WHERE id <= 2")
        await old.execute("INSERT INTO orders VALUES (1, 10), (2, 20)")
        assert await old.fetchval("SELECT count(*) FROM orders WHERE id = 1") == 2, "the old one and the new one"
        async with old.transaction():  # a savepoint
            await old.execute("UPDATE orders SET n = 11 WHERE id = 1 AND n = 10")
    assert await field.rows("SELECT id, n FROM orders_shadow WHERE id <= 2 ORDER BY id") == [(1, 11), (2, 20)]
    transaction = old.transaction(isolation=level)
    await transaction.start()
    assert await old.fetchval("SELECT count(*) FROM orders") == 9
    await field.execute("DELETE FROM orders WHERE id = 3")
    await old.execute("INSERT INTO orders VALUES (3, 30)")
    with pytest.raises(asyncpg.SerializationError):
        await old.execute("DELETE FROM orders WHERE id = 3 AND n = 30")
    await transaction.rollback()
    assert (await shadows.same(field)).same


@pytest.mark.newest
async def test_what_an_applications_own_trigger_changes_once_more_is_followed(database: Any) -> None:
    """The inner change fires our trigger first and the outer, older one after it."""
    field = await Field.open(
        database,
        "CREATE TABLE orders (id int PRIMARY KEY, n int, twice int)",
        """CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN UPDATE orders SET twice = NEW.n * 2 WHERE id = NEW.id AND twice IS DISTINCT FROM NEW.n * 2;
              DELETE FROM orders WHERE id = NEW.id AND n < 0; RETURN NULL; END $$""",
        "CREATE TRIGGER a_twice AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION twice()",
    )
    await shadows.created(field)
    await field.execute(
        "INSERT INTO orders VALUES (1, 5), (2, -1); UPDATE orders SET n = n + 1; INSERT INTO orders VALUES (3, -3)"
    )
    assert await field.rows("SELECT * FROM orders_shadow") == [(1, 6, 12)]
    # Every key moves to its neighbour's place, in one statement and in the only order that a plain key allows.
    await field.execute("DELETE FROM orders; INSERT INTO orders SELECT i, i FROM generate_series(9, 1, -1) AS i")
    await field.execute("UPDATE orders SET id = id + 1, n = n")
    assert await field.rows("SELECT min(id), max(id), count(*) FROM orders_shadow") == [(2, 10, 9)]
    assert await field.drain() == 0
    assert (await shadows.same(field)).same


STUCK = [
    ("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders", "materialized view public.m depends on it"),
    ("CREATE PUBLICATION p FOR TABLE orders", "it is published by p"),
    ("CREATE PUBLICATION q FOR ALL TABLES", "q publishes every new table"),
    ("CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM orders; END", "function public.f()"),
    ("CREATE FUNCTION g(o orders) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.g(public.orders)"),
    ("CREATE TABLE holds (o orders)", "column o of table public.holds"),
    ("ALTER TABLE orders FORCE ROW LEVEL SECURITY", "forces row-level security"),
    ("ALTER TABLE orders REPLICA IDENTITY USING INDEX orders_pkey", "replica identity is an index"),
    ("CREATE TABLE kid () INHERITS (orders)", "has inheritance children"),
    (
        "CREATE TABLE parts (id int PRIMARY KEY, o int REFERENCES orders) PARTITION BY RANGE (id)",
        "partitioned table public.parts references it",
    ),
    (
        "CREATE POLICY other ON bystander USING (EXISTS (SELECT FROM orders))",
        "policy other on table public.bystander",
    ),
]
"""What hangs on a table and cannot move, and the words of the refusal; that of every new table comes last."""


@pytest.mark.newest
async def test_what_cannot_move_is_refused_by_name(database: Any) -> None:
    field = await Field.open(database)
    for number, (ddl, said) in enumerate(STUCK):
        await field.execute(f"CREATE SCHEMA s{number}; SET search_path TO s{number}")
        await field.execute(f"CREATE TABLE orders (id int PRIMARY KEY, n int); CREATE TABLE bystander (id int); {ddl}")
        with pytest.raises(PgbackfillError) as refused:
            await shadows.created(field)
        assert said.replace("public.", f"s{number}.") in str(refused.value)
        assert "\n" not in str(refused.value)
        assert await field.value("SELECT to_regclass('orders_shadow') IS NULL"), ddl


@pytest.mark.newest
async def test_what_came_to_hang_on_the_table_meanwhile_stops_the_cutover(database: Any) -> None:
    field = await Field.open(
        database, "CREATE TABLE orders (id int PRIMARY KEY, n int)", "INSERT INTO orders VALUES (1, 1)"
    )
    await shadows.created(field)
    with pytest.raises(PgbackfillError, match="copy is not complete: job shadow-s-1 is queued"):
        await shadows.cutover(field)
    assert await field.drain() == 0
    await field.execute("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders")
    with pytest.raises(PgbackfillError, match=r"materialized view public\.m"):
        await shadows.cutover(field)
    await field.execute("DROP MATERIALIZED VIEW m; ALTER TABLE orders_shadow ADD COLUMN more int NOT NULL DEFAULT 1")
    await field.execute("ALTER TABLE orders_shadow DISABLE TRIGGER USER; UPDATE orders_shadow SET n = 7")
    with pytest.raises(
        PgbackfillError, match=r"public.orders and orders_shadow differ \(1 and 1 rows; first keys: 1\)"
    ):
        await shadows.cutover(field)
    await field.execute("UPDATE orders_shadow SET n = 1; ALTER TABLE orders ADD COLUMN late int")
    with pytest.raises(PgbackfillError, match=r"changed since `create`, so nobody kept them in step: late; abort"):
        await shadows.cutover(field)
    await remove.abort(field.connection, await shadows.now(field), shadows.PATIENCE)
    await field.execute("ALTER TABLE orders ALTER n SET NOT NULL")
    await shadows.created(field, alters=["DROP COLUMN n"])
    assert await field.drain() == 0
    with pytest.raises(PgbackfillError, match=r"no n: DROP NOT NULL there, or cut over with --no-way-back"):
        await shadows.cutover(field)
    await shadows.cutover(field, way_back=False)
    await field.execute("INSERT INTO orders VALUES (2)")
    assert await field.rows("SELECT id FROM orders_old") == [(1,)]
    with pytest.raises(PgbackfillError, match="without a way back"):
        await shadows.rollback(field)
    with pytest.raises(PgbackfillError, match="rollback` goes back first"):
        await remove.abort(field.connection, await shadows.now(field), shadows.PATIENCE)


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"alters": ["ALTER COLUMN id TYPE text"]}, "would change from integer to text, which has another order"),
    ({"alters": ["ADD COLUMN must int NOT NULL"]}, "columns that nothing fills: must"),
    ({"alters": ["DROP COLUMN id"]}, "has no unique key on id"),
    ({"alters": ["ADD COLUMN a int; DROP TABLE orders"]}, "was refused and nothing of it done"),
    ({"alters": ["ADD COLUMN n int"]}, 'column "n" of relation "orders_shadow" already exists'),
    ({"target": '"full"'}, '"full" holds rows already'),
    ({"target": "empty", "alters": ["x"]}, "either --alter or --target"),
    ({"target": "far.away"}, "is in another schema"),
    ({"target": "fires"}, "has the trigger t"),
    ({"table": "parted"}, "is partitioned; make the new table yourself"),
    ({"key": ["n"]}, "key_columns"),
    ({"name": "Big"}, "The name 'Big' must be 1 to 100 of a-z"),
]


@pytest.mark.newest
async def test_a_new_table_that_cannot_follow_is_refused(database: Any) -> None:
    field = await Field.open(
        database,
        """CREATE TABLE orders (id int PRIMARY KEY, n int); CREATE TABLE "full" (LIKE orders INCLUDING ALL);
           CREATE TABLE empty (LIKE orders INCLUDING ALL); INSERT INTO "full" VALUES (1, 1); CREATE SCHEMA far;
           CREATE TABLE far.away (LIKE orders INCLUDING ALL); CREATE TABLE fires (LIKE orders INCLUDING ALL);
           CREATE TRIGGER t BEFORE UPDATE ON fires FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
           CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id)""",
    )
    for wanted, said in UNFIT:
        with pytest.raises(PgbackfillError) as refused:
            await shadows.created(field, **wanted)
        assert said in str(refused.value)
        assert await field.rows("SELECT to_regclass('orders_shadow'), to_regclass('orders') IS NULL") == [(None, False)]


@pytest.mark.newest
async def test_a_table_becomes_partitioned(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, day date, n int, PRIMARY KEY (id, day))",
        "INSERT INTO orders (day, n) SELECT date '2024-01-01' + i % 300, i FROM generate_series(1, 60) AS i",
        "CREATE TABLE parted (LIKE orders INCLUDING ALL) PARTITION BY RANGE (day)",
        "CREATE TABLE parted_2024 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "CREATE TABLE parted_2025 PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    )
    await shadows.created(field, target="parted")
    assert await field.drain() == 0
    await shadows.cutover(field)
    await field.execute(
        "INSERT INTO orders (day, n) VALUES ('2025-05-05', 1); UPDATE orders SET day = '2025-01-01' WHERE id = 3"
    )
    await field.execute("DELETE FROM parted_2024 WHERE n = 9")
    assert await field.value("SELECT max(id) FROM orders") == 61
    assert (await shadows.same(field)).rows == 60
    await shadows.rollback(field)
    await field.execute("UPDATE orders SET n = 0 WHERE id = 61")
    assert (await shadows.same(field)).rows == 60
    await remove.abort(field.connection, await shadows.now(field), shadows.PATIENCE)
    assert await field.value("SELECT to_regclass('parted') IS NOT NULL"), "a person made it"


@pytest.mark.newest
async def test_a_row_that_does_not_fit_the_new_table_stops_the_cutover_not_the_copy(database: Any) -> None:
    field = await Field.open(
        database, "CREATE TABLE orders (id int PRIMARY KEY, n int)", "INSERT INTO orders VALUES (1, 1), (2, 70000)"
    )
    await shadows.created(field, alters=["ALTER COLUMN n TYPE smallint"])
    assert await field.drain() == 0
    with pytest.raises(PgbackfillError, match="1 rows could not be copied"):
        await shadows.cutover(field)
    await field.execute("UPDATE orders SET n = 7 WHERE id = 2; SELECT pgbackfill.retry_quarantined('shadow-s-1')")
    assert await field.drain() == 0
    await shadows.cutover(field)
    assert await field.rows("SELECT * FROM orders ORDER BY id") == [(1, 1), (2, 7)]


async def test_the_owner_needs_no_superuser_and_policies_hold_for_the_application_alone(database: Any) -> None:
    field = await Field.open(database)
    owner, application = await database.login("pgbackfill_enqueuer"), await database.login()
    mine, theirs = await database.connect(owner), await database.connect(application)
    await field.execute(f"CREATE SCHEMA shop AUTHORIZATION {await mine.fetchval('SELECT current_user')}")
    await mine.execute(
        f"""SET search_path TO shop; CREATE TABLE orders (id serial PRIMARY KEY, n int);
            INSERT INTO orders (n) SELECT i FROM generate_series(1, 20) AS i;
            ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY small ON orders USING (n < 100);
            GRANT USAGE ON SCHEMA shop TO {await theirs.fetchval("SELECT current_user")};
            GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO {await theirs.fetchval("SELECT current_user")};
            GRANT USAGE ON SEQUENCE orders_id_seq TO {await theirs.fetchval("SELECT current_user")}"""
    )
    as_owner = Field(database, mine)
    shadow = await shadows.created(as_owner, alters=["ALTER COLUMN n TYPE bigint"])
    writes = """INSERT INTO shop.orders (n) VALUES (1); UPDATE shop.orders SET n = n + 1 WHERE id % 2 = 0;
                DELETE FROM shop.orders WHERE id = (SELECT max(id) FROM shop.orders)"""
    await theirs.execute(writes)
    assert await field.drain() == 0, await field.error(shadow.job_name or "")
    await shadows.cutover(as_owner)
    await theirs.execute(writes)
    assert (await shadows.same(as_owner)).same
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await theirs.execute("INSERT INTO shop.orders (n) VALUES (500)")
    await shadows.rollback(as_owner)
    await theirs.execute(writes)
    assert (await shadows.same(as_owner)).same
    await remove.abort(mine, await shadows.now(as_owner), shadows.PATIENCE)


@pytest.mark.newest
async def test_a_view_that_cannot_stay_what_it_is_stops_the_cutover(database: Any) -> None:
    field = await Field.open(
        database, "CREATE TABLE orders (id int PRIMARY KEY, n int)", "CREATE VIEW ids AS SELECT id FROM orders"
    )
    await shadows.created(field, alters=["ALTER COLUMN id TYPE bigint"])
    assert await field.drain() == 0
    with pytest.raises(
        PgbackfillError, match=r"CREATE OR REPLACE VIEW public\.ids AS SELECT .*cannot change data type"
    ):
        await shadows.cutover(field)
    await field.execute("DROP VIEW ids")
    await shadows.cutover(field)


@pytest.mark.newest
async def test_nobody_queues_behind_a_cutover_that_cannot_have_the_lock(database: Any) -> None:
    field = await Field.open(
        database, "CREATE TABLE orders (id int PRIMARY KEY, n int)", "INSERT INTO orders VALUES (1, 1)"
    )
    await shadows.created(field)
    assert await field.drain() == 0
    reader, writer = await database.connect(), await database.connect()
    transaction = reader.transaction()
    await transaction.start()
    await reader.fetch("SELECT * FROM orders")
    with pytest.raises(LocksNotTaken, match=r"public\.orders, .*pid \d+ \(idle in transaction"):
        await swap.cutover(field.connection, await shadows.now(field), Patience(lock_timeout_ms=20, total_s=0.3))
    await writer.execute("UPDATE orders SET n = 2")
    assert (await shadows.now(field)).stage is Stage.COPYING
    await transaction.rollback()
    await shadows.cutover(field)
    assert await field.rows("TABLE orders_old") == [(1, 2)]
