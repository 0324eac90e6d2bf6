"""What a plan says of a job: each field, of a real table."""

from __future__ import annotations

from typing import Any

import pytest
from support.field import Field
from support.planning import kinds, planned

from pgbackfill.database import reports
from pgbackfill.errors import JobRefused, UsageError
from pgbackfill.plan import subject
from pgbackfill.plan.sections import sections
from pgbackfill.plan.text import markdown, text

ROWS = 3000
TABLE = (
    "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, m int, note text) WITH (autovacuum_enabled = off)",
    f"INSERT INTO t SELECT i, 0, i, repeat('x', 40) FROM generate_series(1, {ROWS}) AS i",
    "VACUUM (ANALYZE) t",
)
JOB: dict[str, Any] = {"table_name": "t", "set_clause": "n = n + 1", "where_clause": "n = 0"}


async def test_sizes_rows_and_width_of_the_table(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    table = (await planned(field, **JOB))["table"]
    assert table["name"] == "public.t"
    assert table["heap_bytes"] == await field.value("SELECT pg_relation_size('t')")
    assert table["index_bytes"] == await field.value("SELECT pg_indexes_size('t')")
    assert (table["rows"], table["partitions"], table["fillfactor"]) == (ROWS, None, 100)
    assert 76 <= table["row_bytes"] <= 92  # header and pointer 28, three integers, a text of 41
    assert table["bloat_ratio"] < 0.1
    assert (table["logged"], table["autovacuum"], table["replica_identity"]) == (True, False, "primary key")


async def test_rows_that_were_deleted_are_bloat(database: Any) -> None:
    field = await Field.open(database, *TABLE, "DELETE FROM t WHERE id % 2 = 0", "VACUUM (ANALYZE) t")
    table = (await planned(field, **JOB))["table"]
    assert table["rows"] == ROWS // 2
    assert 0.4 <= table["bloat_ratio"] <= 0.6


async def test_a_table_that_was_never_analyzed_has_unknown_rows_and_the_walk_counts_them(database: Any) -> None:
    field = await Field.open(database, *TABLE[:2])
    found = await planned(field, **JOB)
    assert (found["table"]["rows"], found["table"]["row_bytes"], found["table"]["bloat_ratio"]) == (None, None, None)
    assert found["rows"] == ROWS
    assert {"never_analyzed", "autovacuum_off"} <= kinds(found)


async def test_what_the_change_touches(database: Any) -> None:
    field = await Field.open(
        database, *TABLE,
        "CREATE INDEX of_m ON t (m); CREATE INDEX of_n ON t ((n + 1)) WHERE m > 0",
        "CREATE TABLE parent (m int PRIMARY KEY); CREATE TABLE child (t_id int REFERENCES t)",
        "INSERT INTO parent SELECT m FROM t; ALTER TABLE t ADD CONSTRAINT to_parent FOREIGN KEY (m) REFERENCES parent",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER always BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER on_m BEFORE UPDATE OF m ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER on_delete AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    )  # fmt: skip
    found = await planned(field, **JOB)
    assert found["changed_columns"] == ["n"]
    assert found["hot"] is False
    assert {index["name"]: index["changed"] for index in found["indexes"]} == {
        "public.t_pkey": False, "public.of_m": False, "public.of_n": True,
    }  # fmt: skip
    assert {key["name"]: key["checked"] for key in found["foreign_keys"]} == {
        "to_parent": False, "child_t_id_fkey": False,
    }  # fmt: skip
    assert {trigger["name"]: trigger["fires"] for trigger in found["triggers"]} == {
        "always": True, "on_m": False, "on_delete": False,
    }  # fmt: skip
    assert {"trigger", "indexed_column"} <= kinds(found)
    other = await planned(field, name="other", table_name="t", set_clause="(m, note) = (SELECT 1, 'x')")
    assert (other["changed_columns"], other["hot"]) == (["m", "note"], False)
    assert {key["name"] for key in other["foreign_keys"] if key["checked"]} == {"to_parent"}
    gone = await planned(field, name="gone", table_name="t", operation="delete", where_clause="n = 5")
    assert (gone["changed_columns"], gone["hot"]) == (None, None)
    assert {key["name"] for key in gone["foreign_keys"] if key["checked"]} == {"child_t_id_fkey"}


async def test_partitions_count_together(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE p (id int, day int, n int DEFAULT 0, PRIMARY KEY (id, day)) PARTITION BY LIST (day)",
        *(f"CREATE TABLE p{day} PARTITION OF p FOR VALUES IN ({day})" for day in (1, 2, 3)),
        "INSERT INTO p SELECT i, 1 + i % 3, 0 FROM generate_series(1, 3000) AS i",
        "ANALYZE p",
    )
    found = await planned(field, table_name="p")
    table = found["table"]
    assert (table["partitions"], table["rows"], found["rows"]) == (3, 3000, 3000)
    assert table["heap_bytes"] == await field.value(
        "SELECT sum(pg_relation_size('p' || i)) FROM generate_series(1, 3) i"
    )
    assert found["indexes"][0]["bytes"] == await field.value(
        "SELECT sum(pg_relation_size('p' || i || '_pkey')) FROM generate_series(1, 3) i"
    )
    assert (await planned(field, sample=True, name="sampled", table_name="p"))["sample"]["chunks"] == 12


async def test_a_sample_changes_nothing_and_tells_what_a_row_costs(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    found = await planned(field, sample=True, **JOB)
    assert await field.value("SELECT count(*) FROM t WHERE n <> 0") == 0
    assert await field.value("SELECT count(*) FROM pgbackfill.ranges") == 0
    sample = found["sample"]
    assert (sample["chunks"], sample["stopped"]) == (12, None)
    assert sample["rows_changed"] == sample["rows_scanned"] > 0
    assert sample["rows_per_second"] > 0
    assert 50 < sample["wal_bytes_per_changed_row"] < 2000
    assert sorted(place["place"] for place in sample["places"])[0] == 0
    projection = found["projection"]
    assert projection["rows_changed"] == ROWS
    assert projection["seconds_low"] < projection["seconds"] < projection["seconds_high"]
    assert projection["wal_bytes"] > ROWS * 50
    assert found["disk"]["high_bytes"] > found["disk"]["low_bytes"] == 0


@pytest.mark.newest
async def test_a_sample_of_every_form_and_operation(database: Any) -> None:
    field = await Field.open(database, *TABLE, "CREATE TABLE other (id int PRIMARY KEY, v int)")
    jobs: dict[str, dict[str, Any]] = {
        "locked": {"set_clause": "m = (SELECT max(v) FROM other WHERE other.id = t.id)", "where_clause": "n = 0"},
        "joined": {"set_clause": "m = 1", "from_clause": "(VALUES (1)) AS v(x)", "where_clause": "t.n = 0"},
        "deleting": {"operation": "delete", "where_clause": "n = 0"},
        "stating": {"operation": "statement", "statement": "INSERT INTO other SELECT id, 1 FROM chunk"},
    }
    for name, row in jobs.items():
        found = await planned(field, sample=True, name=name, table_name="t", **row)
        assert found["sample"]["rows_changed"] > 0, (name, found["hazards"])
        assert found["projection"]["seconds"] > 0
        assert len(found["statements"]) == (6 if name == "deleting" else 7)
    assert await field.value("SELECT count(*) FROM t") == ROWS
    assert await field.value("SELECT count(*) FROM other") == 0


@pytest.mark.newest
async def test_a_copy_is_sampled_and_a_handler_is_not_called(database: Any) -> None:
    field = await Field.open(database, *TABLE, "CREATE TABLE u (LIKE t INCLUDING ALL)")
    copy = await planned(field, sample=True, table_name="t", operation="copy", set_clause=None, target_table="u")
    assert copy["projection"]["rows_changed"] == ROWS
    assert await field.value("SELECT count(*) FROM u") == 0
    job = {
        "name": "h",
        "table_name": "t",
        "operation": "handler",
        "handler": "x",
        "set_clause": None,
        "where_clause": "n = 0",
    }
    handler = await planned(field, sample=True, **job)
    assert (handler["rows_matching"], handler["sample"], handler["projection"]) == (ROWS, None, None)
    assert "A handler's calls are not sampled" in text(sections(handler))


async def test_a_walk_of_a_few_keys_counts_only_them(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    found = await planned(field, sample=True, **JOB, from_key=["101"], to_key=["200"])
    assert found["rows"] == 100
    assert found["projection"]["rows_changed"] == 100
    assert found["sample"]["rows_scanned"] <= 12 * 100
    assert found["sample"]["places"][0]["rows_scanned"] == 100


@pytest.mark.newest
async def test_a_chunk_that_fails_is_a_hazard(database: Any) -> None:
    field = await Field.open(database, *TABLE, "ALTER TABLE t ADD CHECK (n < 1)")
    found = await planned(field, sample=True, **JOB)
    (hazard,) = [hazard for hazard in found["hazards"] if hazard["kind"] == "sample"]
    assert "violates check constraint" in hazard["detail"]
    assert "23514" in hazard["detail"]
    assert found["projection"] is None


@pytest.mark.newest
async def test_a_row_that_somebody_has_locked_ends_the_sample_within_the_lock_timeout(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    other = await database.connect()
    async with other.transaction():
        await other.execute("SELECT FROM t FOR UPDATE")
        found = await planned(field, sample=True, **JOB)
    (hazard,) = [hazard for hazard in found["hazards"] if hazard["kind"] == "sample"]
    assert "lock timeout" in hazard["detail"]


@pytest.mark.newest
async def test_missing_rights_of_the_work_login_are_a_hazard_with_the_grant(database: Any) -> None:
    from pgbackfill.control.options import PacingOptions
    from pgbackfill.plan.report import plan

    field = await Field.open(database, *TABLE)
    await field.enqueue(**JOB)
    found = await subject.existing(field.connection, "job")
    work = await database.connect(await database.login("pgbackfill_worker"))
    told = await plan(field.connection, work, found, PacingOptions(), sample=False)
    (hazard,) = [hazard for hazard in told["hazards"] if hazard["kind"] == "rights"]
    assert "GRANT SELECT, UPDATE ON public.t" in hazard["detail"]


@pytest.mark.newest
async def test_the_plan_of_a_chunk_and_its_statements_are_those_of_the_worker(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    found = await planned(field, **JOB)
    assert any("Index Scan using t_pkey" in line for line in found["chunk_plan"])
    sql = [step["sql"] for step in found["statements"]]
    assert sql[0].startswith("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\nSET LOCAL \"lock_timeout\" = '100'")
    assert 'UPDATE ONLY "public"."t" AS t SET n = n + 1' in sql[3]
    assert sql[-1] == "COMMIT"


@pytest.mark.newest
async def test_the_way_back_restores_every_row(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    before = await field.rows("SELECT id, n FROM t ORDER BY id")
    lines = (await planned(field, **JOB))["way_back"]
    assert lines[0].startswith("pgbackfill pause job")
    await field.execute(lines[2].split("   -- ")[0])
    assert await field.drain(chunk_max_rows=1000) == 0
    assert await field.value("SELECT count(*) FROM t WHERE n = 1") == ROWS
    await field.connection.fetch(lines[3].split("   -- ")[0].rstrip(";"))
    assert await field.drain(chunk_max_rows=1000) == 0
    await field.succeeded("job-back")
    assert await field.rows("SELECT id, n FROM t ORDER BY id") == before


async def test_sql_tells_what_sql_can_know_and_later_what_is_done(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(**JOB)
    assert await field.value("SELECT pgbackfill.plan('job') -> 'so_far'") == "null"
    assert await field.value("SELECT pgbackfill.plan('job') -> 'table' ->> 'name'") == "public.t"
    assert await field.value("SELECT pgbackfill.plan('job') ->> 'rows_matching'") == str(ROWS)
    assert await field.value("SELECT pgbackfill.plan('job') -> 'plan' -> 0 -> 'Plan' ->> 'Node Type'") == "ModifyTable"
    assert await field.drain(chunk_max_rows=1000) == 0
    assert await field.value("SELECT pgbackfill.plan('job') -> 'so_far' ->> 'rows_changed'") == str(ROWS)
    with pytest.raises(Exception, match='there is no job named "nothing"'):
        await field.value("SELECT pgbackfill.plan('nothing')")


@pytest.mark.newest
async def test_an_enqueuer_may_plan_and_a_viewer_may_not(database: Any) -> None:
    field = await Field.open(database, *TABLE, "GRANT SELECT, UPDATE ON t TO pgbackfill_enqueuer")
    await field.enqueue(**JOB)
    enqueuer = await database.connect(await database.login("pgbackfill_enqueuer"))
    assert await enqueuer.fetchval("SELECT pgbackfill.plan('job') -> 'changed_columns' ->> 0") == "n"
    viewer = await database.connect(await database.login("pgbackfill_viewer"))
    with pytest.raises(Exception, match="permission denied"):
        await viewer.fetchval("SELECT pgbackfill.plan('job')")


@pytest.mark.newest
async def test_a_job_is_planned_before_it_exists_and_leaves_no_trace(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    new = reports.NewJob(name="job", table_name="t", set_clause="n = n + 1")
    found = await subject.imagined(field.connection, new)
    assert (found.job.key_columns, found.facts["job"]["status"], found.facts["table"]["rows"]) == (("id",), None, ROWS)
    assert await field.value("SELECT count(*) FROM pgbackfill.jobs") == 0
    assert await field.value("SELECT count(*) FROM pgbackfill.events") == 0
    with pytest.raises(JobRefused, match="set_clause"):
        await subject.imagined(field.connection, reports.NewJob(name="job", table_name="t", set_clause="nothing = 1"))
    await field.enqueue(**JOB)
    with pytest.raises(UsageError, match="exists already"):
        await subject.imagined(field.connection, new)


@pytest.mark.newest
async def test_a_plan_of_a_real_job_can_be_drawn(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    found = await planned(field, sample=True, **JOB)
    drawn = text(sections(found))
    for title in ("Job", "Projection", "Hazards", "Table", "What it touches", "Sample", "Replicas", "Way back"):
        assert f"\n{title}\n" in f"\n{drawn}"
    assert "### Projection" in markdown(sections(found))


@pytest.mark.newest
async def test_replicas_with_their_backlog(pair: Any) -> None:
    field = await Field.open(pair.database, *TABLE)
    (replica,) = (await planned(field, **JOB))["replicas"]
    assert (replica["name"], replica["state"]) == ("standby", "streaming")
    assert replica["backlog_bytes"] >= 0


@pytest.mark.newest
async def test_a_sample_waits_for_replicas_and_gives_up(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgbackfill.plan import sampling

    monkeypatch.setattr(sampling, "CAUGHT_UP_BYTES", -1)
    monkeypatch.setattr(sampling, "PATIENCE_S", 0.0)
    field = await Field.open(pair.database, *TABLE)
    found = await planned(field, sample=True, **JOB)
    assert found["sample"]["chunks"] == 0
    assert found["sample"]["stopped"].startswith("replica standby has ")
    assert found["projection"] is None


@pytest.mark.newest
async def test_a_trigger_that_drops_updates_does_not_end_the_sample(database: Any) -> None:
    field = await Field.open(
        database, *TABLE,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER f BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    )  # fmt: skip
    found = await planned(
        field, sample=True, table_name="t", set_clause="n = (SELECT count(*) FROM t AS o WHERE o.id < 3)"
    )
    assert (found["sample"]["chunks"], found["sample"]["rows_changed"]) == (12, 0)
    assert found["projection"]["rows_changed"] == 0


@pytest.mark.newest
async def test_a_job_that_can_be_undone_says_so_before_it_exists_and_after(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    found = await planned(field, sample=True, **JOB, keep_old=True)
    assert "keep_old" in kinds(found)
    assert found["sample"]["rows_changed"] > 0
    assert found["way_back"][-1].startswith("pgbackfill undo job ")
