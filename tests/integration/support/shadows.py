"""A table with everything that can hang on one, and its shadow."""

from __future__ import annotations

from typing import Any

from pgbackfill.database.bounded import Patience
from pgbackfill.shadow import make, state, swap, verify
from pgbackfill.shadow.state import Shadow

from .field import Field

PATIENCE = Patience(lock_timeout_ms=100, total_s=120)

RICH = """
CREATE ROLE reader NOLOGIN;
CREATE TABLE customers (id int PRIMARY KEY, name text);
INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 9) AS i;
CREATE TABLE orders (
    id serial PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    parent int REFERENCES orders ON DELETE SET NULL,
    customer int NOT NULL REFERENCES customers ON DELETE CASCADE,
    code text UNIQUE,
    total numeric(10, 2) NOT NULL DEFAULT 0 CHECK (total >= 0),
    doubled numeric GENERATED ALWAYS AS (total * 2) STORED,
    touched int NOT NULL DEFAULT 0
) WITH (fillfactor = 90);
COMMENT ON TABLE orders IS 'what people bought';
CREATE INDEX orders_customer ON orders (customer) WHERE total > 10;
CREATE TABLE items (id int PRIMARY KEY, "order" int CONSTRAINT items_order REFERENCES orders ON DELETE CASCADE);
CREATE VIEW big_orders WITH (security_barrier) AS SELECT code, total FROM orders WHERE total > 10;
CREATE VIEW biggest AS SELECT max(total) AS total FROM big_orders;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER sleeping BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE orders DISABLE TRIGGER sleeping;
GRANT SELECT ON orders TO reader;
GRANT UPDATE (total) ON orders TO reader;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON orders FOR SELECT TO reader USING (customer < 5);
INSERT INTO orders (customer, code, total) SELECT 1 + i % 9, 'code' || i, i FROM generate_series(1, 40) AS i;
UPDATE orders SET parent = 41 - id WHERE id > 20;
INSERT INTO items SELECT i, i FROM generate_series(1, 40) AS i;
"""


async def created(field: Field, **wanted: Any) -> Shadow:
    """The shadow `s` of `orders`, its copy enqueued."""
    return await make.create(field.connection, make.Wanted(**({"name": "s", "table": "orders"} | wanted)), PATIENCE)


async def now(field: Field) -> Shadow:
    return await state.find(field.connection, "s")


async def cutover(field: Field, **how: Any) -> Shadow:
    done = await swap.cutover(field.connection, await now(field), PATIENCE, **how)
    assert await swap.validate(field.connection, done) == []
    return done


async def rollback(field: Field) -> Shadow:
    done = await swap.rollback(field.connection, await now(field), PATIENCE)
    assert await swap.validate(field.connection, done) == []
    return done


async def same(field: Field) -> verify.Comparison:
    """Compares both tables, and checks that the comparison is right, by another way."""
    shadow = await now(field)
    found = await verify.compare(field.connection, shadow)
    follower = shadow.quoted(shadow.old_name if shadow.swapped else shadow.shadow_name)
    columns = ", ".join(
        row[0]
        for row in await field.rows(
            "SELECT quote_ident(unnest(pgbackfill.copied_columns($1, $2)))", shadow.source, shadow.target
        )
    )
    different = await field.value(
        """SELECT count(*) FROM ((TABLE l EXCEPT ALL TABLE f) UNION ALL (TABLE f EXCEPT ALL TABLE l)) AS d""".join(
            [f"WITH l AS (SELECT {columns} FROM {shadow.table}), f AS (SELECT {columns} FROM {follower}) ", ""]
        )
    )
    assert found.same == (different == 0), (found, different)
    return found
