"""The SQL of the finalize steps, word for word; and how much of a statement is done."""

from __future__ import annotations

import pytest

from pgbackfill.control.options import PacingOptions
from pgbackfill.finalize import ddl
from pgbackfill.finalize.progress import share
from pgbackfill.jobs.job import Job

T = '"public"."users"'
JOB = Job(
    1, "job", "users", "update", 1, ("id",), search_path="public", session_settings={"maintenance_work_mem": "1GB"}
)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (
            ddl.add_check(T, 'a "b"', "n > 0 -- x"),
            f'ALTER TABLE {T} ADD CONSTRAINT "a ""b""" CHECK (n > 0 -- x\n) NOT VALID',
        ),
        (ddl.validate(T, "c"), f'ALTER TABLE {T} VALIDATE CONSTRAINT "c"'),
        (ddl.drop_constraint(T, "c"), f'ALTER TABLE {T} DROP CONSTRAINT IF EXISTS "c"'),
        (ddl.set_not_null(T, "n"), f'ALTER TABLE {T} ALTER COLUMN "n" SET NOT NULL'),
        (ddl.set_default(T, "n", "7 -- x"), f'ALTER TABLE {T} ALTER COLUMN "n" SET DEFAULT 7 -- x\n'),
        (
            ddl.create_index(T, {"name": "i", "columns": "lower(n)"}),
            f'CREATE INDEX CONCURRENTLY "i" ON {T} (lower(n)\n)',
        ),
        (
            ddl.create_index(
                T, {"name": "i", "columns": "n", "unique": True, "using": "btree", "include": "m", "where": "n > 0"}
            ),
            f'CREATE UNIQUE INDEX CONCURRENTLY "i" ON {T} USING "btree" (n\n) INCLUDE (m\n) WHERE (n > 0\n)',
        ),
        (ddl.drop_index("public", "i"), 'DROP INDEX CONCURRENTLY "public"."i"'),
        (ddl.vacuum(T), f"VACUUM (TRUNCATE FALSE) {T}"),
        (ddl.analyze(T), f"ANALYZE {T}"),
        (ddl.helper_name(12, 3), "pgbackfill_12_3_not_null"),
    ],
)
def test_the_builder_writes_what_was_reviewed(written: str, wanted: str) -> None:
    assert written == wanted


def test_no_lock_is_waited_for_longer_than_a_chunk_does() -> None:
    for brief in (True, False):
        assert "SET LOCAL \"lock_timeout\" = '100'" in ddl.begin(JOB, PacingOptions(), brief=brief)
    assert "SET LOCAL \"statement_timeout\" = '1100'" in ddl.begin(JOB, PacingOptions(), brief=True)
    assert "SET LOCAL \"statement_timeout\" = '0'" in ddl.begin(JOB, PacingOptions(), brief=False)


def test_a_statement_alone_has_the_settings_of_its_job_for_its_session() -> None:
    text = ddl.outside(JOB)
    assert "SET LOCAL" not in text
    assert "SET \"maintenance_work_mem\" = '1GB'" in text


def test_a_share_never_goes_backwards_through_the_phases_of_an_index() -> None:
    phases = [
        "initializing", "waiting for writers before build", "building index: scanning table",
        "waiting for writers before validation", "index validation: scanning index", "index validation: sorting tuples",
        "index validation: scanning table", "waiting for old snapshots",
    ]  # fmt: skip
    shares = [share(phase, done, 10, 0, 0) for phase in phases for done in (0, 5, 10)]
    known = [each for each in shares if each is not None]
    assert len(known) == len(shares)
    assert all(0 <= each < 1 for each in known)
    assert share("index validation: scanning table", 5, 10) == pytest.approx(0.885)
    assert share("something new", 5, 10) is None
    assert share(None) is None
