"""What a chunk refuses, sets aside and survives."""

from __future__ import annotations

from typing import Any

import anyio
import asyncpg
import pytest
from support.field import Field, eventually
from support.steps import Steps

from pgbackfill.control.options import PacingOptions
from pgbackfill.errors import JobFailed

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, divisor int NOT NULL DEFAULT 1)",
    "INSERT INTO t1 SELECT generate_series(1, 200)",
)
COUNTS = "SELECT n, count(*) FROM t1 GROUP BY 1 ORDER BY 1"
POISON = "UPDATE t1 SET divisor = 0 WHERE id IN (1, 2, 77, 78, 130, 200)"
QUARANTINE = "SELECT key, sqlstate, message FROM pgbackfill.quarantine ORDER BY key[1]::int"
FORMS = {
    "range": {"set_clause": "n = n + 1 / divisor"},
    "locked range": {"set_clause": "n = n + (SELECT 1 FROM pg_class WHERE relname = 'pg_class') / divisor"},
    "joined": {"set_clause": "n = t.n + v.x / t.divisor", "from_clause": "(VALUES (1)) AS v(x)"},
}


@pytest.mark.parametrize("form", FORMS)
async def test_exactly_the_rows_that_cannot_be_changed_are_set_aside(database: Any, form: str) -> None:
    field = await Field.open(database, *TABLE, POISON)
    await field.enqueue(table_name="t1", options={"chunk_max_rows": 50}, **FORMS[form])
    assert await field.drain(chunk_max_rows=50) == 0
    done = await field.succeeded()
    assert (done["rows_scanned"], done["rows_changed"], done["rows_quarantined"]) == (200, 194, 6)
    assert await field.rows(COUNTS) == [(0, 6), (1, 194)]
    assert await field.rows(QUARANTINE) == [([str(i)], "22012", "division by zero") for i in (1, 2, 77, 78, 130, 200)]


async def test_constraints_and_triggers_poison_a_row_as_well(database: Any) -> None:
    field = await Field.open(
        database,
        *TABLE,
        """
        CREATE TABLE parent (id int PRIMARY KEY);
        INSERT INTO parent VALUES (0), (1);
        ALTER TABLE t1 ADD CONSTRAINT small CHECK (n < 5), ADD parent int REFERENCES parent, ADD u int UNIQUE;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.id = 40 THEN RAISE EXCEPTION 'not 40'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON t1 FOR EACH ROW EXECUTE FUNCTION refuse()
        """,
    )
    await field.backfill(
        table_name="t1",
        set_clause="n = CASE id WHEN 10 THEN 9 ELSE 1 END, parent = CASE id WHEN 20 THEN 7 ELSE 1 END,"
        " u = CASE id WHEN 30 THEN 29 ELSE id END",
    )
    assert await field.rows("SELECT key[1], sqlstate FROM pgbackfill.quarantine ORDER BY key[1]::int") == [
        ("10", "23514"),
        ("20", "23503"),
        ("30", "23505"),
        ("40", "P0001"),
    ]
    assert await field.rows(COUNTS) == [(0, 4), (1, 196)]


async def test_a_deferred_constraint_fails_inside_its_chunk(database: Any) -> None:
    """At COMMIT it would fail after the cursor was stored, and nobody could tell which row it was."""
    field = await Field.open(
        database,
        *TABLE,
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "INSERT INTO parent SELECT generate_series(1, 200) EXCEPT SELECT 99",
        "ALTER TABLE t1 ADD parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED",
    )
    done = await field.backfill(table_name="t1", set_clause="n = n + 1, parent = id")
    assert done["rows_changed"] == 199
    assert await field.rows("SELECT key, sqlstate FROM pgbackfill.quarantine") == [(["99"], "23503")]
    assert await field.rows("SELECT id FROM t1 WHERE n <> 1") == [(99,)]


async def test_what_fails_at_commit_is_not_lost_either(database: Any) -> None:
    """The job's SQL defers its constraints again: then COMMIT itself fails, and the row is found all the same."""
    field = await Field.open(
        database,
        *TABLE,
        """
        CREATE TABLE parent (id int PRIMARY KEY);
        INSERT INTO parent SELECT generate_series(1, 200) EXCEPT SELECT 99;
        ALTER TABLE t1 ADD parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED;
        CREATE FUNCTION defer() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NEW; END $$;
        CREATE TRIGGER defer BEFORE UPDATE ON t1 FOR EACH ROW EXECUTE FUNCTION defer()
        """,
    )
    await field.backfill(table_name="t1", set_clause="n = n + 1, parent = id")
    assert await field.rows("SELECT key, sqlstate FROM pgbackfill.quarantine") == [(["99"], "23503")]
    assert await field.rows("SELECT id FROM t1 WHERE n <> 1") == [(99,)]


async def test_too_many_poison_rows_fail_the_job(database: Any) -> None:
    field = await Field.open(database, *TABLE, POISON)
    await field.enqueue(table_name="t1", options={"max_quarantined": 3}, **FORMS["range"])
    assert await field.drain() == 1
    error = await field.error()
    assert error is not None
    assert error.startswith("4 rows could not be changed, more than max_quarantined (3)")
    assert "division by zero" in error
    assert (await field.progress())["rows_quarantined"] == 4


async def test_the_quarantine_shows_no_data_of_the_row(database: Any) -> None:
    field = await Field.open(
        database,
        *TABLE,
        "ALTER TABLE t1 ADD secret text NOT NULL DEFAULT 'hunter2', ADD CHECK (NOT (id = 9 AND n > 0))",
    )
    await field.backfill(table_name="t1")
    assert "hunter2" not in str(await field.rows("SELECT q::text FROM pgbackfill.quarantine q"))
    assert await field.value("SELECT count(*) FROM pgbackfill.quarantine") == 1


async def test_only_the_row_that_failed_is_set_aside(database: Any) -> None:
    """Between the failure and the quarantine somebody deletes the bad row; the next one is innocent."""
    field = await Field.open(database, *TABLE, POISON)
    steps = await Steps.begin(field, table_name="t1", **FORMS["range"])
    with pytest.raises(asyncpg.DivisionByZeroError) as caught:
        await steps.run(1)
    await field.execute("DELETE FROM t1 WHERE id IN (1, 2)")
    assert await steps.chunk.set_aside(PacingOptions(), caught.value) is None
    assert await steps.run(1)
    assert await field.rows(QUARANTINE) == []
    assert await field.rows("SELECT id FROM t1 WHERE n = 1") == [(3,)]


async def test_wrong_sql_at_run_time_fails_its_job_and_no_other(database: Any) -> None:
    field = await Field.open(database, *TABLE, "CREATE TABLE t2 AS TABLE t1", "ALTER TABLE t2 ADD PRIMARY KEY (id)")
    await field.enqueue(name="wrong", table_name="t1", set_clause="n = n + divisor")
    await field.enqueue(name="right", table_name="t2")
    await field.execute("ALTER TABLE t1 DROP COLUMN divisor")
    assert await field.drain() == 1
    await field.succeeded("right")
    error = await field.error("wrong")
    assert error is not None
    assert 'column "divisor" does not exist (SQLSTATE 42703)' in error
    assert "UPDATE ONLY" in error
    assert "n = n + divisor" in error
    assert (await field.progress("wrong"))["status"] == "failed"
    assert (await field.events("status", "wrong"))[-1]["to"] == "failed"


async def test_a_failed_job_goes_on_where_it_stopped(database: Any) -> None:
    field = await Field.open(database, *TABLE, POISON)
    await field.enqueue(table_name="t1", options={"max_quarantined": 2}, **FORMS["range"])
    assert await field.drain() == 1
    await field.execute("""UPDATE pgbackfill.jobs SET options = '{"max_quarantined": 100}'""")
    await field.execute("SELECT pgbackfill.retry('job')")
    assert await field.drain() == 0
    assert await field.rows(COUNTS) == [(0, 6), (1, 194)]


@pytest.mark.newest
async def test_a_row_that_somebody_holds_is_waited_for_not_set_aside(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(table_name="t1", options={"lock_timeout_ms": 50})
    other = await database.connect()
    async with field.daemon(chunk_max_rows=10):
        await eventually(lambda: field.value("SELECT count(*) > 0 FROM pgbackfill.ranges"))
        async with other.transaction():
            await other.execute("SELECT FROM t1 WHERE id > 150 FOR UPDATE")
            holder = await other.fetchval("SELECT pg_backend_pid()")
            await eventually(
                lambda: field.value(f"SELECT hold_reason = 'row_locked by pid {holder}' FROM pgbackfill.progress")
            )
            assert await field.value("SELECT rows_scanned FROM pgbackfill.ranges") == 150
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows(COUNTS) == [(1, 200)]
    assert await field.rows(QUARANTINE) == []


@pytest.mark.newest
async def test_a_row_that_always_takes_too_long_is_set_aside(database: Any) -> None:
    field = await Field.open(
        database,
        *TABLE,
        """
        CREATE FUNCTION slow(id int) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN IF id = 20 THEN PERFORM pg_sleep(60); END IF; RETURN 1; END $$
        """,
    )
    await field.enqueue(
        table_name="t1", set_clause="n = n + slow(id)", options={"statement_timeout_ms": 200}, to_key=["30"]
    )
    assert await field.drain(chunk_max_rows=2) == 0
    assert await field.rows("SELECT key, sqlstate FROM pgbackfill.quarantine") == [(["20"], "57014")]
    assert await field.rows("SELECT n, count(*) FROM t1 WHERE id <= 30 GROUP BY 1 ORDER BY 1") == [(0, 1), (1, 29)]


async def test_the_job_is_named_wherever_its_statements_show(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    steps = await Steps.begin(field, table_name="t1")
    other = await database.connect()
    async with anyio.create_task_group() as tasks, other.transaction():
        await other.execute("SELECT FROM t1 WHERE id = 3 FOR UPDATE")
        tasks.start_soon(lambda: steps.run(5, lock_timeout_ms=20_000))
        query = await eventually(
            lambda: field.value(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
    assert query.startswith("/* pgbackfill job=job */ ")


async def test_pause_and_cancel_act_at_the_next_chunk_though_nobody_looked(database: Any) -> None:
    """The chunk itself reads the wanted state, so it needs neither NOTIFY nor a poll."""
    field = await Field.open(database, *TABLE)
    steps = await Steps.begin(field, table_name="t1")
    await steps.run(5)
    for wanted in ("pause", "cancel"):
        await field.execute("UPDATE pgbackfill.jobs SET desired_state = $1", wanted)
        result = await steps.run(5)
        assert (result.stop, result.rows_scanned, result.finished) == (wanted, 0, False)
    assert await field.rows(COUNTS) == [(0, 195), (1, 5)]


async def test_an_open_transaction_on_the_job_holds_no_chunk_up(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    steps = await Steps.begin(field, table_name="t1")
    other = await database.connect()
    async with other.transaction():
        await other.execute("UPDATE pgbackfill.jobs SET priority = 5")
        assert (await steps.run(5)).rows_changed == 5


async def test_a_trigger_that_drops_updates_is_counted_and_does_not_stop_the_walk(database: Any) -> None:
    field = await Field.open(
        database,
        *TABLE,
        """
        CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RETURN CASE WHEN NEW.id % 2 = 0 THEN NEW END; END $$;
        CREATE TRIGGER skip BEFORE UPDATE ON t1 FOR EACH ROW EXECUTE FUNCTION skip()
        """,
    )
    for name, form in FORMS.items():
        done = await field.backfill(name=name.replace(" ", "-"), table_name="t1", **form)
        assert (done["rows_scanned"], done["rows_changed"]) == (200, 100)
    assert await field.rows(COUNTS) == [(0, 100), (3, 100)]


LARGE = """
CREATE TABLE large (id int PRIMARY KEY, ref int NOT NULL, filler text STORAGE PLAIN);
ALTER TABLE large SET (autovacuum_enabled = off);
INSERT INTO large SELECT i, i, repeat('x', 7000) FROM generate_series(1, 13000) AS i;
ANALYZE large;
"""


@pytest.mark.newest
async def test_a_join_that_reads_a_large_table_from_end_to_end_is_refused_with_its_plan(database: Any) -> None:
    field = await Field.open(database, *TABLE, LARGE)
    row = {
        "from_clause": "LATERAL (SELECT count(*) AS c FROM large l WHERE l.ref = chunk.id) AS x",
        "set_clause": "n = t.n + x.c",
    }
    await field.enqueue(table_name="t1", **row)
    assert await field.drain() == 1
    error = await field.error()
    assert error is not None
    assert "every chunk would read all 101 MiB of public.large from end to end; create an index" in error
    assert '"Seq Scan"' in error
    assert len(error) < 5000
    assert await field.rows(COUNTS) == [(0, 200)]
    await field.execute("CREATE INDEX ON large (ref)")
    await field.execute("SELECT pgbackfill.retry('job')")
    assert await field.drain() == 0, await field.error()
    assert await field.rows(COUNTS) == [(1, 200)]


@pytest.mark.newest
@pytest.mark.parametrize("key", ["id", "ref, id"])
@pytest.mark.parametrize("form", FORMS)
async def test_large_chunks_of_a_large_table_are_not_refused(database: Any, form: str, key: str) -> None:
    field = await Field.open(
        database,
        LARGE.replace("PRIMARY KEY", "NOT NULL"),
        f"ALTER TABLE large ADD PRIMARY KEY ({key}), ADD n int NOT NULL DEFAULT 0, ADD divisor int DEFAULT 1",
    )
    await field.enqueue(table_name="large", options={"chunk_target_ms": 10_000}, **FORMS[form])
    assert await field.drain(chunk_max_rows=1_000_000, chunk_max_wal_bytes=1 << 40) == 0, await field.error()
    assert await field.rows("SELECT n, count(*) FROM large GROUP BY 1") == [(1, 13_000)]
    assert await field.value("SELECT chunk_no FROM pgbackfill.ranges") < 10


@pytest.mark.newest
@pytest.mark.parametrize("done", ["none", "nearly all"])
async def test_a_partial_index_on_what_is_left_does_not_win_over_the_key(database: Any, done: str) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE todo (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n int)",
        f"INSERT INTO todo (n) SELECT {'CASE WHEN i % 100 > 0 THEN 0 END' if done != 'none' else 'NULL::int'}"
        " FROM generate_series(1, 5000) i",
        "CREATE INDEX ON todo (n) WHERE n IS NULL",
        "CREATE INDEX ON todo ((1)) WHERE n IS NULL",
    )
    await field.execute("VACUUM ANALYZE todo")
    await field.enqueue(table_name="todo", set_clause="n = 1", where_clause="n IS NULL")
    assert await field.drain(chunk_max_rows=500) == 0, await field.error()
    assert (await field.succeeded())["rows_changed"] == (5000 if done == "none" else 50)


@pytest.mark.newest
@pytest.mark.parametrize(
    "meanwhile",
    [
        "CREATE INDEX ON todo (n) WHERE n IS NULL",
        "CREATE INDEX ON todo (n)",
        "ALTER TABLE todo ALTER filled SET NOT NULL",
    ],
)
async def test_what_comes_during_the_walk_neither_takes_it_off_the_key_nor_miscounts(
    database: Any, meanwhile: str
) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE todo (id bigint PRIMARY KEY, n int, filled int DEFAULT 1)",
        "INSERT INTO todo (id, n) SELECT i, CASE WHEN i % 100 > 0 THEN 0 END FROM generate_series(1, 20000) i",
    )
    await field.execute("VACUUM ANALYZE todo")
    column = "filled" if "filled" in meanwhile else "n"
    steps = await Steps.begin(field, table_name="todo", set_clause="n = 1", where_clause=f"{column} IS NULL")
    assert steps.chunk.change.only_index
    scanned = [(await steps.run(1000)).rows_scanned for _ in range(3)]
    await field.execute(meanwhile)
    await field.execute("VACUUM ANALYZE todo")
    result = await steps.run(1000)
    while not result.finished:
        scanned.append(result.rows_scanned)
        result = await steps.run(1000)
    assert sum(scanned) + result.rows_scanned == 20_000
    assert await field.value("SELECT count(*) FROM todo WHERE n = 1") == (200 if column == "n" else 0)


@pytest.mark.newest
async def test_a_key_whose_index_has_gone_is_refused(database: Any) -> None:
    field = await Field.open(database, LARGE, "ALTER TABLE large ADD n int NOT NULL DEFAULT 0")
    steps = await Steps.begin(field, table_name="large")
    await field.execute("ALTER TABLE large DROP CONSTRAINT large_pkey")
    with pytest.raises(JobFailed, match="does not scale: it reads the walked table by a Seq Scan instead of the key"):
        await steps.run(100)


TENANTS = (
    "CREATE TABLE t1 (tenant uuid, id bigint, n int NOT NULL DEFAULT 0, PRIMARY KEY (tenant, id))",
    # Ten tenants interleaved, of 2000 rows each; one imported 5000 more in one go, right behind.
    "INSERT INTO t1 SELECT md5((i % 10)::text)::uuid, i FROM generate_series(1, 20000) AS i",
    "INSERT INTO t1 SELECT md5('3')::uuid, i FROM generate_series(20001, 25000) AS i",
)


@pytest.mark.newest
async def test_interleaved_tenants_are_walked_mostly_without_looking_for_the_end_of_a_chunk(database: Any) -> None:
    field = await Field.open(database, *TENANTS)
    steps = await Steps.begin(field, table_name="t1", set_clause="n = n + 1")
    guessed = chunks = 0
    finished = False
    while not finished:
        guessed += steps.chunk.guesses
        chunks += 1
        finished = (await steps.run(600)).finished
    assert await field.rows(COUNTS) == [(1, 25_000)]
    assert (guessed, chunks) > (chunks // 3, 30)


@pytest.mark.newest
async def test_a_tenant_that_is_suddenly_dense_is_rolled_back_and_scanned(database: Any) -> None:
    field = await Field.open(database, *TENANTS)
    tenant = await field.connection.fetchval("SELECT md5('3')::uuid::text")
    steps = await Steps.begin(
        field,
        table_name="t1",
        set_clause="n = n + CASE WHEN pg_sleep(0.0005) IS NULL THEN 0 ELSE 1 END",
        from_key=[tenant],
        to_key=[tenant],
    )
    options = {"chunk_target_ms": 400}
    assert (await steps.run(600, **options)).rows_scanned == 600
    assert (await steps.run(600, **options)).rows_scanned == 600
    assert (await steps.run(600, **options)).rows_scanned == 600
    with pytest.raises(asyncpg.QueryCanceledError):  # 200 rows as sparse as before, then one a key: some 4000
        await steps.run(600, **options)
    assert (await steps.run(600, **options)).rows_scanned == 600
    assert await field.rows("SELECT n, count(*) FROM t1 WHERE tenant = $1 GROUP BY 1 ORDER BY 1", tenant) == [
        (0, 4600),
        (1, 2400),
    ]
