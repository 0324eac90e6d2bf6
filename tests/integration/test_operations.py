"""What a job does to its rows, through the daemon: every operation, every form, and nothing but the rows it names."""

from __future__ import annotations

from typing import Any

import pytest
from support.field import Field
from support.steps import Steps

from pgbackfill.keyset.statement import Form

ORDERS = """
CREATE TABLE orders (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, total int, state text NOT NULL DEFAULT 'open');
CREATE TABLE items (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id bigint NOT NULL, price int NOT NULL);
CREATE INDEX ON items (order_id);
INSERT INTO orders (id) SELECT i * 3 FROM generate_series(1, 40) AS i;
INSERT INTO items (order_id, price) SELECT o.id, o.id + j FROM orders AS o, generate_series(1, 3) AS j;
"""
WRONG_TOTALS = "SELECT count(*) FROM orders WHERE total IS DISTINCT FROM 3 * id + 6"


@pytest.mark.newest
@pytest.mark.parametrize(
    "relation",
    [
        '"Quoted Table"."Spaces and.dots"',
        '"ünïcode"."テーブル"',
        '"select"."from"',
        '"it\'s"."""double"""',
        'public."%s $1 \\back"',
    ],
)
async def test_names_of_any_kind_are_walked(database: Any, relation: str) -> None:
    schema = relation.split('".')[0] + '"' if relation.startswith('"') else "public"
    field = await Field.open(
        database,
        f"CREATE SCHEMA IF NOT EXISTS {schema}",
        f"""CREATE TABLE {relation} ("Key ""1"".x" int, "schlüssel" text, "set" int NOT NULL DEFAULT 0,
            PRIMARY KEY ("Key ""1"".x", "schlüssel"))""",
        f"INSERT INTO {relation} SELECT i / 5, '/* ' || i FROM generate_series(1, 40) AS i",
    )
    await field.backfill(table_name=relation, set_clause='"set" = "set" + 1')
    await field.backfill(
        name="joined", table_name=relation, from_clause="(VALUES (10)) AS v(x)", set_clause='"set" = t."set" + v.x'
    )
    await field.backfill(
        name="statement",
        table_name=relation,
        operation="statement",
        statement=f"""UPDATE {relation} AS x SET "set" = x."set" + 100 FROM chunk
                      WHERE (x."Key ""1"".x", x."schlüssel") = (chunk."Key ""1"".x", chunk."schlüssel")""",
    )
    assert await field.rows(f'SELECT "set", count(*) FROM {relation} GROUP BY 1') == [(111, 40)]


async def test_generated_and_identity_columns_stay_what_they_are(database: Any) -> None:
    field = await Field.open(
        database,
        """CREATE TABLE made (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int NOT NULL DEFAULT 0,
                              double int GENERATED ALWAYS AS (n * 2) STORED)""",
        "INSERT INTO made (n) SELECT 0 FROM generate_series(1, 40)",
    )
    await field.backfill(table_name="made")
    assert await field.rows("SELECT n, double, count(*) FROM made GROUP BY 1, 2") == [(1, 2, 40)]


@pytest.mark.parametrize(
    "key", ["UNIQUE (code)", "UNIQUE (code) INCLUDE (n)", "PRIMARY KEY (id, code) INCLUDE (n)", "UNIQUE (id, code)"]
)
async def test_any_unique_key_of_columns_that_are_not_null_will_do(database: Any, key: str) -> None:
    field = await Field.open(
        database,
        f"CREATE TABLE keyed (id int NOT NULL, code text NOT NULL, n int NOT NULL DEFAULT 0, {key})",
        "INSERT INTO keyed SELECT i, i FROM generate_series(1, 40) AS i",
    )
    await field.backfill(table_name="keyed")
    assert await field.rows("SELECT n, count(*) FROM keyed GROUP BY 1") == [(1, 40)]


@pytest.mark.parametrize(
    ("form", "row"),
    [
        (Form.RANGE, {"set_clause": "total = 3 * id + 6"}),
        (Form.LOCKED_RANGE, {"set_clause": "total = (SELECT sum(i.price) FROM items i WHERE i.order_id = t.id)"}),
        (
            Form.JOINED,
            {
                "from_clause": "LATERAL (SELECT sum(i.price) AS s FROM items i WHERE i.order_id = chunk.id) AS x",
                "set_clause": "total = x.s",
            },
        ),
        (
            Form.JOINED,
            {
                "set_clause": "total = 3 * id + 6",
                "where_clause": "EXISTS (SELECT FROM items i WHERE i.order_id = t.id)",
            },
        ),
        (
            Form.JOINED,
            {
                "from_clause": "(SELECT order_id, sum(price) AS s FROM items GROUP BY order_id) AS x",
                "set_clause": "total = x.s",
                "where_clause": "x.order_id = t.id AND x.s > 0 -- of another table",
            },
        ),
    ],
    ids=["range", "locked range", "lateral", "exists", "where on the from items"],
)
async def test_an_update_computes_every_row(database: Any, form: Form, row: dict[str, str]) -> None:
    field = await Field.open(database, ORDERS)
    steps = await Steps.begin(field, table_name="orders", **row)
    assert steps.form is form
    assert await steps.finish(7) == 40
    assert await field.value(WRONG_TOTALS) == 0


async def test_a_lock_looks_at_the_from_items_too(database: Any) -> None:
    """Where where_clause is about another table, what it excludes is not even locked."""
    field = await Field.open(database, ORDERS)
    steps = await Steps.begin(
        field,
        table_name="orders",
        from_clause="items AS i",
        set_clause="n = t.n + 1",
        where_clause="i.order_id = t.id AND i.price = 62",
    )
    untouched = "SELECT id, xmin::text, xmax::text FROM orders WHERE n = 0 ORDER BY id"
    before = [row for row in await field.rows(untouched) if row[0] != 60]
    assert await steps.finish(7) == 1
    assert await field.rows(untouched) == before


async def test_a_row_is_changed_once_though_it_joins_several(database: Any) -> None:
    field = await Field.open(database, ORDERS)
    done = await field.backfill(
        table_name="orders", from_clause="items AS i", set_clause="n = t.n + 1", where_clause="i.order_id = t.id"
    )
    assert (done["rows_scanned"], done["rows_changed"]) == (40, 40)
    assert await field.rows("SELECT n, count(*) FROM orders GROUP BY 1") == [(1, 40)]


@pytest.mark.parametrize(
    "row",
    [
        {"where_clause": "id % 2 = 0"},
        {"where_clause": "(SELECT min(price) FROM items i WHERE i.order_id = t.id) % 2 = 1"},
        {"from_clause": "items AS i", "where_clause": "i.order_id = t.id AND i.price % 2 = 1 AND t.id % 2 = 0"},
    ],
    ids=["range", "subquery", "using"],
)
async def test_delete_removes_what_matches_and_nothing_else(database: Any, row: dict[str, str]) -> None:
    field = await Field.open(database, ORDERS)
    done = await field.backfill(table_name="orders", operation="delete", **row)
    assert (done["rows_scanned"], done["rows_changed"]) == (40, 20)
    assert await field.rows("SELECT count(*), count(*) FILTER (WHERE id % 2 = 1) FROM orders") == [(20, 20)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO archive SELECT o.id, o.state FROM orders o JOIN chunk USING (id)",
        """INSERT INTO archive SELECT o.id, o.state FROM orders o JOIN chunk USING (id)
           ON CONFLICT (id) DO UPDATE SET state = excluded.state""",
        """MERGE INTO archive AS a USING (SELECT o.id, o.state FROM orders o JOIN chunk USING (id)) AS o ON a.id = o.id
           WHEN MATCHED THEN UPDATE SET state = o.state WHEN NOT MATCHED THEN INSERT VALUES (o.id, o.state)""",
    ],
    ids=["insert", "upsert", "merge"],
)
async def test_a_statement_reads_each_key_once(database: Any, statement: str) -> None:
    field = await Field.open(database, ORDERS, "CREATE TABLE archive (id bigint PRIMARY KEY, state text)")
    if "INTO archive SELECT" not in statement or "CONFLICT" in statement:
        await field.execute("INSERT INTO archive SELECT id, 'old' FROM orders WHERE id < 30")
    done = await field.backfill(
        table_name="orders", operation="statement", statement=statement, where_clause="id <> 33"
    )
    assert (done["rows_scanned"], done["rows_changed"]) == (40, 39)
    assert await field.rows("SELECT state, count(*), sum(id) FROM archive GROUP BY 1") == [("open", 39, 2460 - 33)]


async def test_a_statement_updates_another_table(database: Any) -> None:
    field = await Field.open(database, ORDERS)
    done = await field.backfill(
        table_name="orders",
        operation="statement",
        statement="UPDATE items SET price = price + 1000 FROM chunk WHERE items.order_id = chunk.id -- all of them",
    )
    assert (done["rows_scanned"], done["rows_changed"]) == (40, 120)
    assert await field.value("SELECT count(*) FROM items WHERE price - order_id BETWEEN 1001 AND 1003") == 120


@pytest.mark.newest
@pytest.mark.parametrize(
    ("bounds", "changed"),
    [
        ({"from_key": ["2"], "to_key": ["2"]}, "tenant = 2"),
        ({"from_key": ["2", "2024-02-01"], "to_key": ["2", "2024-02-29"]},
         "tenant = 2 AND day BETWEEN '2024-02-01' AND '2024-02-29'"),
        ({"from_key": ["3", "2024-02-15"]}, "(tenant, day) >= (3, '2024-02-15')"),
        ({"to_key": ["1", "2024-01-05"]}, "(tenant, day) <= (1, '2024-01-05')"),
        ({"from_key": ["9"]}, "false"),
    ],
    ids=["one tenant", "one month of a tenant", "from", "to", "nothing"],
)  # fmt: skip
@pytest.mark.parametrize("form", [Form.RANGE, Form.JOINED])
async def test_bounds_limit_the_walk(database: Any, bounds: dict[str, list[str]], changed: str, form: Form) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE visits (tenant int, day date, n int NOT NULL DEFAULT 0, PRIMARY KEY (tenant, day))",
        "INSERT INTO visits SELECT t, date '2024-01-01' + d FROM generate_series(1, 3) t, generate_series(0, 70) d",
    )
    joined = {"from_clause": "(VALUES (1)) AS v(x)", "set_clause": "n = t.n + v.x"} if form is Form.JOINED else {}
    done = await field.backfill(table_name="visits", **joined, **bounds)
    assert done["rows_scanned"] == await field.value(f"SELECT count(*) FROM visits WHERE {changed}")
    assert await field.value(f"SELECT count(*) FROM visits WHERE n <> ({changed})::int") == 0


async def test_bounds_mean_what_the_enqueuer_wrote(database: Any) -> None:
    """1 February, by somebody whose dates begin with the day, in a zone where it began on 31 January UTC."""
    field = await Field.open(
        database,
        "CREATE TABLE log (at timestamptz PRIMARY KEY, n int NOT NULL DEFAULT 0)",
        "INSERT INTO log SELECT timestamptz '2024-01-01 00:00 UTC' + i * interval '1h' FROM generate_series(0, 999) i",
        "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Tokyo'",
    )
    await field.backfill(
        table_name="log",
        from_key=["2024-02-01"],
        to_key=["2024-02-01 23:59:59"],
        set_clause="n = extract(hour FROM at) + 1",
        where_clause="at <> timestamptz '2024-02-01 05:00'",
    )
    await field.execute("RESET DateStyle; RESET TimeZone")
    assert await field.rows("SELECT min(at)::text, count(*), sum(n)::int FROM log WHERE n > 0") == [
        ("2024-01-31 15:00:00+00", 23, 24 * 25 // 2 - 6)
    ]


async def test_the_jobs_sql_sees_the_search_path_and_time_zone_of_its_enqueuer(database: Any) -> None:
    field = await Field.open(
        database,
        'CREATE SCHEMA "My App"',
        'CREATE TABLE "My App".rates (id int PRIMARY KEY, rate int)',
        "CREATE TABLE rates (id int PRIMARY KEY, rate int)",
        "INSERT INTO rates VALUES (1, 1)",
        'INSERT INTO "My App".rates VALUES (1, 7)',
        "CREATE TABLE t1 (id int PRIMARY KEY, n int, zone text)",
        "INSERT INTO t1 VALUES (1), (2), (3)",
        """SET search_path = "My App", public; SET TimeZone = 'Asia/Kathmandu'""",
    )
    row = {"table_name": "t1", "set_clause": "n = (SELECT rate FROM rates), zone = current_setting('TimeZone')"}
    await field.backfill(**row)
    assert await field.rows("SELECT DISTINCT n, zone FROM t1") == [(7, "Asia/Kathmandu")]


async def test_session_settings_reach_the_jobs_sql(database: Any) -> None:
    field = await Field.open(
        database,
        """
        CREATE TABLE accounts (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
        CREATE TABLE audit (id int);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF current_setting('app.silent', true) IS DISTINCT FROM 'on' THEN
                INSERT INTO audit VALUES (NEW.id);
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER note AFTER UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION note();
        INSERT INTO accounts SELECT i FROM generate_series(1, 20) i;
        """,
    )
    await field.backfill(name="silent", table_name="accounts", session_settings={"app.silent": True})
    assert await field.value("SELECT count(*) FROM audit") == 0
    await field.backfill(name="loud", table_name="accounts")
    assert await field.value("SELECT count(*) FROM audit") == 20


async def test_what_a_job_sets_for_the_session_does_not_reach_the_next_chunk(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE t1 (id int PRIMARY KEY, seen text)",
        "INSERT INTO t1 SELECT i FROM generate_series(1, 20) i",
    )
    steps = await Steps.begin(
        field,
        table_name="t1",
        set_clause="seen = current_setting('DateStyle') || current_setting('search_path')"
        " || coalesce(set_config('DateStyle', 'SQL, DMY', false), '') || set_config('search_path', 'x', false)"
        " || set_config('statement_timeout', '2000', false)",
    )
    await steps.finish(1)
    assert await field.rows("SELECT count(DISTINCT seen), count(seen) FROM t1") == [(1, 20)]


@pytest.mark.parametrize(
    "row",
    [
        {"set_clause": "n = n + 1"},
        {"set_clause": "n = n + (SELECT 1 FROM items i WHERE i.id = 1)"},
        {"set_clause": "n = t.n + v.x", "from_clause": "(VALUES (1)) AS v(x)"},
        {
            "operation": "statement",
            "statement": "UPDATE orders AS o SET n = n + 1 FROM chunk WHERE o.id = chunk.id",
        },
    ],
    ids=["range", "locked range", "joined", "statement"],
)
async def test_excluded_rows_are_neither_locked_nor_rewritten(database: Any, row: dict[str, str]) -> None:
    """A row that where_clause excludes may be locked by somebody for ever."""
    field = await Field.open(database, ORDERS, "UPDATE orders SET state = 'done' WHERE id % 2 = 0")
    where = "ctid, xmin::text FROM orders WHERE state = 'done' ORDER BY id"
    await field.execute("VACUUM FULL orders")
    before = await field.rows(f"SELECT {where}")
    steps = await Steps.begin(field, table_name="orders", where_clause="state = 'open'", **row)
    other = await database.connect()
    async with other.transaction():
        await other.execute("SELECT FROM orders WHERE state = 'done' FOR UPDATE")
        assert await steps.finish(7) == 20
    assert await field.rows(f"SELECT {where}") == before
    assert await field.rows("SELECT state, n, count(*) FROM orders GROUP BY 1, 2 ORDER BY 1") == [
        ("done", 0, 20),
        ("open", 1, 20),
    ]


async def test_a_sparse_predicate_writes_only_what_matches(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE big (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
        "INSERT INTO big SELECT i FROM generate_series(1, 20000) i",
    )
    await field.enqueue(table_name="big", where_clause="id % 1000 = 0", options={"chunk_max_rows": 50000})
    assert await field.drain() == 0
    done = await field.succeeded()
    assert (done["rows_scanned"], done["rows_changed"]) == (20_000, 20)
    assert await field.value("SELECT sum(n) FROM big") == 20
    assert await field.value("SELECT sum(wal_bytes) FROM pgbackfill.ranges") < 20 * 1000


async def test_the_locks_of_a_chunk_count_as_its_write_ahead_log(database: Any) -> None:
    """A lock is written into its row: half as much again as changing it, and `max_wal_bytes_per_s` is a promise."""
    field = await Field.open(
        database,
        "CREATE TABLE one AS SELECT 1 AS step",
        *(f"CREATE TABLE {name} (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)" for name in ("plain", "locked")),
    )
    written = {}
    for name, step in (("plain", "1"), ("locked", "(SELECT step FROM one)")):
        await field.execute(f"INSERT INTO {name} SELECT generate_series(1, 2000)")
        await field.enqueue(name=name, table_name=name, set_clause=f"n = n + {step}", options={"chunk_max_rows": 1000})
        assert await field.drain() == 0
        job_id = await field.value(f"SELECT id FROM pgbackfill.jobs WHERE name = '{name}'")
        written[name] = await field.value(f"SELECT sum(wal_bytes) FROM pgbackfill.ranges WHERE job_id = {job_id}")
    assert written["locked"] > written["plain"] + 2000 * 40


async def test_several_jobs_at_once_and_an_empty_table(database: Any) -> None:
    field = await Field.open(database, *(f"CREATE TABLE t{i} (id int PRIMARY KEY, n int DEFAULT 0)" for i in range(5)))
    for i in range(5):
        await field.execute(f"INSERT INTO t{i} SELECT generate_series(1, {i * 20})")
        await field.enqueue(name=f"job{i}", table_name=f"t{i}")
    assert await field.drain(max_concurrent_jobs=2) == 0
    for i in range(5):
        done = await field.succeeded(f"job{i}")
        assert (done["rows_scanned"], done["rows_changed"], done["percent"]) == (i * 20, i * 20, 100)
        assert await field.value(f"SELECT coalesce(sum(n), 0) FROM t{i}") == i * 20
