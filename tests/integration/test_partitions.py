"""Partitioned tables are walked leaf by leaf; what happens to a leaf during the job."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from support.field import Field, eventually
from support.steps import Steps

from pgbackfill.database import ranges
from pgbackfill.database.outcome import LeafMoved

VISITS = """
CREATE TABLE visits (id int, day date, n int NOT NULL DEFAULT 0, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY HASH (id);
CREATE TABLE visits_2a PARTITION OF visits_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE visits_2b PARTITION OF visits_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE visits_rest PARTITION OF visits DEFAULT;
INSERT INTO visits SELECT i, date '2024-01-20' + i FROM generate_series(1, 60) AS i;
"""
ONCE = [(1, 60)]
COUNTS = "SELECT n, count(*) FROM {} GROUP BY 1 ORDER BY 1"


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"from_clause": "(VALUES (1)) AS v(x)", "set_clause": "n = t.n + v.x"},
        {"set_clause": "n = n + (SELECT count(*) FROM pg_namespace WHERE nspname = 'public')::int"},
        {
            "operation": "statement",
            "statement": "UPDATE visits v SET n = n + 1 FROM chunk c WHERE v.id = c.id AND v.day = c.day",
        },
    ],
    ids=["range", "joined", "locked", "statement"],
)
async def test_every_leaf_is_walked(database: Any, row: dict[str, str]) -> None:
    field = await Field.open(database, VISITS)
    done = await field.backfill(table_name="visits", **row)
    assert (done["rows_scanned"], done["rows_changed"]) == (60, 60)
    assert await field.rows(COUNTS.format("visits")) == ONCE
    assert await field.value("SELECT count(*) FROM pgbackfill.ranges") == 4
    assert await field.events("partition_attached") == []


async def test_one_branch_or_leaf_can_be_walked_alone(database: Any) -> None:
    field = await Field.open(database, VISITS)
    await field.backfill(name="branch", table_name="visits_2")
    await field.backfill(name="leaf", table_name="visits_1")
    assert await field.rows("SELECT n, min(day)::text, max(day)::text FROM visits GROUP BY n ORDER BY n") == [
        (0, "2024-03-01", "2024-03-20"),
        (1, "2024-01-21", "2024-02-29"),
    ]


async def test_bounds_hold_in_every_leaf(database: Any) -> None:
    field = await Field.open(database, VISITS)
    done = await field.backfill(table_name="visits", from_key=["10"], to_key=["49"])
    assert done["rows_changed"] == 40
    assert await field.value("SELECT count(*) FROM visits WHERE n <> (id BETWEEN 10 AND 49)::int") == 0


async def test_a_partition_attached_during_the_job_is_named_and_left_alone(database: Any) -> None:
    field = await Field.open(database, VISITS)
    steps = await Steps.begin(field, table_name="visits")
    await steps.run(5)
    await field.execute("""
        CREATE TABLE visits_new (id int, day date, n int NOT NULL DEFAULT 0, PRIMARY KEY (id, day));
        INSERT INTO visits_new VALUES (1, '2030-01-01');
        ALTER TABLE visits ATTACH PARTITION visits_new FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')""")
    await ranges.release(field.connection, steps.claim)
    assert await field.drain() == 0
    await field.succeeded()
    assert await field.rows(COUNTS.format("visits")) == [(0, 1), (1, 60)]
    assert await field.events("partition_attached") == [{"partitions": ["visits_new"]}]


@pytest.mark.parametrize(
    "leave",
    ["ALTER TABLE visits DETACH PARTITION visits_1", "ALTER TABLE visits DETACH PARTITION visits_1 CONCURRENTLY"],
)
async def test_a_detached_partition_is_left_alone_at_once(database: Any, leave: str) -> None:
    field = await Field.open(database, VISITS.replace("CREATE TABLE visits_rest PARTITION OF visits DEFAULT;", """
        CREATE TABLE visits_rest PARTITION OF visits FOR VALUES FROM ('2024-03-01') TO ('2034-03-01');"""))  # fmt: skip
    steps = await Steps.begin(field, table_name="visits")
    await steps.run(5)
    await field.execute(leave)
    with pytest.raises(LeafMoved):
        await steps.run(5)
    await ranges.release(field.connection, steps.claim)
    assert await field.drain() == 0
    await field.succeeded()
    assert await field.rows(COUNTS.format("visits_1")) == [(0, 6), (1, 5)]
    assert await field.rows(COUNTS.format("visits")) == [(1, 49)]
    assert [event["relation"] for event in await field.events("partition_left")] == [steps.claim.relation]
    assert await field.value("SELECT count(*) FROM pgbackfill.ranges WHERE status = 'skipped'") == 1


async def test_a_dropped_partition_is_skipped(database: Any) -> None:
    field = await Field.open(database, VISITS)
    steps = await Steps.begin(field, table_name="visits")
    await steps.run(5)
    await ranges.release(field.connection, steps.claim)
    await field.execute("DROP TABLE visits_1; DROP TABLE visits_2b")
    assert await field.drain() == 0
    await field.succeeded()
    assert await field.value("SELECT count(*) FROM visits WHERE n <> 1") == 0
    assert len(await field.events("partition_left")) == 2


async def test_a_renamed_partition_and_table_are_followed(database: Any) -> None:
    field = await Field.open(database, VISITS)
    steps = await Steps.begin(field, table_name="visits")
    await steps.run(5)
    await field.execute('CREATE SCHEMA elsewhere; ALTER TABLE visits_1 RENAME TO "January"')
    await field.execute('ALTER TABLE "January" SET SCHEMA elsewhere; ALTER TABLE visits RENAME TO "Visits"')
    with pytest.raises(asyncpg.UndefinedTableError):
        await steps.run(5)
    await ranges.release(field.connection, steps.claim)
    assert await field.drain() == 0
    await field.succeeded()
    assert await field.rows(COUNTS.format('"Visits"')) == ONCE


async def test_two_leaves_that_swap_their_names_are_told_apart(database: Any) -> None:
    field = await Field.open(database, VISITS)
    steps = await Steps.begin(field, table_name="visits")
    await steps.run(5)
    await field.execute("""
        ALTER TABLE visits_1 RENAME TO t; ALTER TABLE visits_2a RENAME TO visits_1;
        ALTER TABLE t RENAME TO visits_2a""")
    with pytest.raises(LeafMoved):
        await steps.run(5)
    await ranges.release(field.connection, steps.claim)
    assert await field.drain() == 0
    assert await field.rows(COUNTS.format("visits")) == ONCE


SWAP = """
CREATE TABLE fresh (LIKE plain INCLUDING ALL);
INSERT INTO fresh SELECT * FROM plain;
ALTER TABLE plain RENAME TO plain_old;
ALTER TABLE fresh RENAME TO plain;
"""


@pytest.mark.parametrize("drop", [False, True], ids=["kept", "dropped"])
@pytest.mark.parametrize(
    "row", [{}, {"from_clause": "(VALUES (1)) AS v(x)", "set_clause": "n = t.n + v.x"}], ids=["range", "joined"]
)
async def test_a_new_table_under_the_old_name_is_never_written(database: Any, drop: bool, row: dict[str, str]) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
        "INSERT INTO plain SELECT generate_series(1, 20)",
    )
    steps = await Steps.begin(field, table_name="plain", **row)
    await steps.run(5)
    await field.execute(SWAP + ("DROP TABLE plain_old" if drop else ""))
    with pytest.raises(LeafMoved):
        await steps.run(5)
    await ranges.release(field.connection, steps.claim)
    code = await field.drain()
    assert await field.rows("SELECT n, count(*) FROM plain GROUP BY 1 ORDER BY 1") == [(0, 15), (1, 5)]
    if drop:
        assert code == 1
        assert "plain" in (await field.error() or "")
        assert "dropped" in (await field.error() or "")
    else:
        assert code == 0
        assert await field.rows("SELECT n, count(*) FROM plain_old GROUP BY 1") == [(1, 20)]


async def test_a_partitioned_table_that_was_dropped_fails_the_job(database: Any) -> None:
    field = await Field.open(database, VISITS)
    steps = await Steps.begin(field, table_name="visits")
    await steps.run(5)
    await ranges.release(field.connection, steps.claim)
    await field.execute("DROP TABLE visits")
    assert await field.drain() == 1
    assert await field.error() == "table visits was dropped during the job"


async def test_a_table_with_other_columns_under_the_old_name_does_not_fail_the_job(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
        "INSERT INTO plain SELECT generate_series(1, 3000)",
    )
    await field.enqueue(table_name="plain", options={"chunk_max_rows": 10})
    async with field.daemon():
        await eventually(lambda: field.value("SELECT sum(chunk_no) >= 5 FROM pgbackfill.ranges"))
        await field.execute("ALTER TABLE plain RENAME TO plain_old; CREATE TABLE plain (other text)")
        await eventually(lambda: field.value("SELECT status <> 'running' FROM pgbackfill.jobs"))
    await field.succeeded()
    assert await field.rows("SELECT n, count(*) FROM plain_old GROUP BY 1") == [(1, 3000)]


async def test_a_swap_under_a_running_daemon(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
        "INSERT INTO plain SELECT generate_series(1, 3000)",
    )
    await field.enqueue(table_name="plain", options={"chunk_max_rows": 10})
    async with field.daemon():
        await eventually(lambda: field.value("SELECT sum(chunk_no) >= 5 FROM pgbackfill.ranges"))
        async with field.connection.transaction():
            await field.execute("LOCK TABLE plain IN ACCESS EXCLUSIVE MODE")
            await field.execute(SWAP)
            changed = await field.value("SELECT count(*) FROM plain WHERE n = 1")
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows("SELECT n, count(*) FROM plain_old GROUP BY 1") == [(1, 3000)]
    assert await field.value("SELECT count(*) FROM plain WHERE n = 1") == changed


async def test_a_row_that_moves_between_leaves_is_changed_at_most_once_in_each(database: Any) -> None:
    """Its key holds the partition key, so a moved row is one that was deleted and another that was born."""
    field = await Field.open(database, VISITS)
    steps = await Steps.begin(field, table_name="visits")
    await steps.run(5)
    await field.execute("UPDATE visits SET day = '2024-01-05' WHERE id = 40")  # into the leaf under way
    await field.execute("UPDATE visits SET n = 0, day = '2024-03-15' WHERE id = 2")  # out of it, done already
    await ranges.release(field.connection, steps.claim)
    assert await field.drain() == 0
    assert await field.value("SELECT count(*) FROM visits WHERE n > 1") == 0
    assert await field.value("SELECT count(*) FROM visits WHERE n = 0 AND id NOT IN (2, 40)") == 0


@pytest.mark.newest
async def test_foreign_partitions_leave_no_key_to_walk_by(database: Any) -> None:
    """Postgres itself allows no unique key over a foreign partition, so there is nothing that a job could be given."""
    field = await Field.open(
        database,
        "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing",
        "CREATE TABLE mixed (id int NOT NULL, n int) PARTITION BY RANGE (id)",
        "CREATE TABLE mixed_1 PARTITION OF mixed FOR VALUES FROM (1) TO (9)",
        "CREATE FOREIGN TABLE mixed_2 PARTITION OF mixed FOR VALUES FROM (9) TO (99) SERVER nowhere",
    )
    with pytest.raises(asyncpg.PostgresError, match=r"key_columns: public.mixed has no key"):
        await field.enqueue(table_name="mixed")
