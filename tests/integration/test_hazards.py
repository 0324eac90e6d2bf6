"""What makes a backfill dear or risky is said before its first chunk."""

from __future__ import annotations

from typing import Any

import pytest
from support.field import Field
from support.steps import started

from pgbackfill.control.options import PacingOptions
from pgbackfill.database import hazards, reports

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, m int)",
    "INSERT INTO t1 SELECT generate_series(1, 20)",
)
UPDATE: dict[str, Any] = {"table_name": "t1"}
DELETE: dict[str, Any] = {"table_name": "t1", "operation": "delete", "where_clause": "n > 5"}
NO_HOT = "no update is HOT, so every index is written"
CASES: dict[str, tuple[str, dict[str, Any], set[tuple[str, str]]]] = {
    "none": ("SELECT", UPDATE, set()),
    "trigger": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER audit AFTER UPDATE ON t1 FOR EACH ROW EXECUTE FUNCTION f();"
        "CREATE TRIGGER off AFTER UPDATE ON t1 FOR EACH ROW EXECUTE FUNCTION f();"
        "ALTER TABLE t1 DISABLE TRIGGER off;"
        "CREATE TRIGGER other AFTER DELETE ON t1 FOR EACH ROW EXECUTE FUNCTION f();"
        "CREATE TRIGGER tell AFTER UPDATE ON t1 EXECUTE FUNCTION f()",
        UPDATE,
        {("trigger", "audit runs public.f for each changed row"), ("trigger", "tell runs public.f for each chunk")},
    ),
    "foreign keys": (
        "CREATE TABLE child (id int PRIMARY KEY, parent int CONSTRAINT of REFERENCES t1 ON DELETE CASCADE);"
        "CREATE TABLE looked (parent int PRIMARY KEY CONSTRAINT at REFERENCES t1)",
        DELETE,
        {
            (
                "foreign_key",
                "of of public.child deletes rows for each deleted row, without an index on its columns:"
                " each time from end to end",
            ),
            ("foreign_key", "at of public.looked is searched for each deleted row"),
        },
    ),
    "fan-out": (
        "CREATE TABLE child (id int PRIMARY KEY, parent int CONSTRAINT of REFERENCES t1 ON DELETE CASCADE);"
        "INSERT INTO child SELECT i, 1 + i % 20 FROM generate_series(1, 50) AS i; CREATE INDEX ON child (parent);"
        "ANALYZE child; ANALYZE t1",
        DELETE,
        {("foreign_key", "of of public.child deletes rows for each deleted row, about 2.5 of them")},
    ),
    "foreign keys of an update": (
        "CREATE TABLE kind (id int PRIMARY KEY); INSERT INTO kind VALUES (0);"
        "ALTER TABLE t1 ADD CONSTRAINT kind FOREIGN KEY (n) REFERENCES kind;"
        "ALTER TABLE t1 ADD CONSTRAINT other FOREIGN KEY (m) REFERENCES kind",
        UPDATE,
        {("foreign_key", "kind is looked up in public.kind for each changed row")},
    ),
    "referred to by an update": (
        "UPDATE t1 SET n = id; ALTER TABLE t1 ADD CONSTRAINT twice UNIQUE (n);"
        "CREATE TABLE child (n int CONSTRAINT of REFERENCES t1 (n) ON UPDATE CASCADE)",
        UPDATE,
        {
            ("indexed_column", f"n in public.twice: {NO_HOT}"),
            ("foreign_key", "of of public.child changes rows for each changed row"),
        },
    ),
    "another table than the walked one": (
        "CREATE TABLE kind (id int PRIMARY KEY); CREATE TABLE log (id int CONSTRAINT kind REFERENCES kind);"
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER tell AFTER INSERT ON log FOR EACH ROW EXECUTE FUNCTION f();"
        "CREATE TRIGGER never AFTER UPDATE ON t1 FOR EACH ROW EXECUTE FUNCTION f()",
        {"table_name": "t1", "operation": "statement", "statement": "INSERT INTO log SELECT id FROM chunk"},
        {
            ("trigger", "tell runs public.f for each changed row"),
            ("foreign_key", "kind is looked up in public.kind for each inserted row"),
        },
    ),
    "row security": (
        "ALTER TABLE t1 ENABLE ROW LEVEL SECURITY",
        UPDATE,
        {
            (
                "row_security",
                "row-level security is on for public.t1; a chunk that would not see every row is refused",
            )
        },
    ),
    "replica identity": (
        "ALTER TABLE t1 REPLICA IDENTITY FULL",
        UPDATE,
        {
            (
                "replica_identity",
                "FULL on public.t1: each change writes the whole old row to the write-ahead log as well",
            )
        },
    ),
    "published without": (
        "ALTER TABLE t1 REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE t1",
        UPDATE,
        {("replica_identity", "public.t1 is published by p but has none, so Postgres refuses its changes")},
    ),
    "index": (
        "CREATE INDEX plain ON t1 (m); CREATE INDEX expression ON t1 ((n + 1));CREATE INDEX part ON t1 (m) WHERE n > 0",
        UPDATE,
        {("indexed_column", f"n in public.expression: {NO_HOT}"), ("indexed_column", f"n in public.part: {NO_HOT}")},
    ),
    "index beside a join": (
        "CREATE INDEX plain ON t1 (n)",
        {"table_name": "t1", "set_clause": "n = v.x", "from_clause": "(VALUES (1)) AS v(x)"},
        {("indexed_column", f"n in public.plain: {NO_HOT}")},
    ),
    "fillfactor": (
        "CREATE INDEX plain ON t1 (m)",
        UPDATE,
        {("fillfactor", "100 leaves no room for HOT updates, so all 2 indexes are written")},
    ),
    "room": ("CREATE INDEX plain ON t1 (m); ALTER TABLE t1 SET (fillfactor = 70)", UPDATE, set()),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_hazard_of_the_table_is_named(database: Any, case: str) -> None:
    ddl, row, expected = CASES[case]
    field = await Field.open(database, *TABLE)
    if row.get("operation") != "statement":  # the check at INSERT knows nothing of what comes later
        job = await started(field, **row)
        await field.execute(ddl)
    else:
        await field.execute(ddl)
        job = await started(field, **row)
    found = await hazards.find(field.connection, await database.connect(), job, PacingOptions())
    assert {(hazard.kind, hazard.detail) for hazard in found} == expected


@pytest.mark.newest
async def test_hazards_of_the_server_are_named(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hazards, "OLD_SNAPSHOT_S", 0.0)
    field = await Field.open(database, *TABLE)
    job = await started(field, table_name="t1")
    other = await database.connect()
    async with other.transaction(isolation="repeatable_read"):
        await other.fetch("SELECT FROM t1")
        options = PacingOptions(lock_timeout_ms=900)
        found = await hazards.find(field.connection, await database.connect(), job, options)
    details = {hazard.kind: hazard.detail for hazard in found}
    assert set(details) == {"deadlock_timeout", "old_snapshot"}
    assert details["deadlock_timeout"].startswith("1s is not above lock_timeout_ms (900) and the 200 ms")
    said = f"pid {other.get_server_pid()} (client backend as postgres) keeps dead rows from being removed, for "
    assert any(hazard.detail.startswith(said) for hazard in found), found


@pytest.mark.newest
async def test_status_shows_the_hazards_of_a_job(database: Any) -> None:
    field = await Field.open(database, *TABLE, "ALTER TABLE t1 REPLICA IDENTITY FULL")
    await field.backfill(table_name="t1")
    told = (await reports.job(field.connection, "job"))["hazards"]
    assert [hazard["kind"] for hazard in told] == ["replica_identity"]
