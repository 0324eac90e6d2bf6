"""The core scenario on the oldest Postgres that is supported, as Debian packages it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ENQUEUE = """
INSERT INTO pgbackfill.jobs (name, table_name, set_clause, where_clause, options)
VALUES ('users-email-lower', 'users', 'email_lower = lower(email), visits = visits + 1', 'email_lower IS NULL',
        '{"chunk_max_rows": 100, "max_rows_per_s": 2000}')
"""
STATUS = "SELECT status FROM pgbackfill.progress"
CHANGED = "SELECT count(*) FROM users WHERE visits = 1 AND email_lower = lower(email)"
BEGUN = "SELECT count(*) FROM pgbackfill.progress WHERE rows_scanned > 0"

Wait = Callable[[Callable[[], bool], str], None]


def test_a_killed_daemon_is_followed_by_another_and_every_row_is_changed_once(
    shop: Any, start: Callable[..., Any], wait_until: Wait
) -> None:
    shop.direct(ENQUEUE)
    first = start(shop.direct.dsn, PGBACKFILL_LEASE_S="5")
    wait_until(lambda: shop.direct.value(BEGUN) == "1", "the first chunk")
    first.killed()
    shop.direct("UPDATE pgbackfill.jobs SET options = '{}'")

    start(shop.direct.dsn, "--drain", PGBACKFILL_LEASE_S="5").drained()

    assert shop.direct("SELECT status, rows_scanned, rows_changed FROM pgbackfill.progress") == [
        ("succeeded", "20000", "20000")
    ]
    assert shop.direct.value(CHANGED) == "20000"
    assert shop.direct.value("SELECT epoch FROM pgbackfill.ranges") == "2"


def test_a_stopped_daemon_gives_its_range_back_and_the_next_one_goes_on(
    shop: Any, start: Callable[..., Any], wait_until: Wait
) -> None:
    shop.direct(ENQUEUE)
    first = start(shop.direct.dsn)
    wait_until(lambda: shop.direct.value(BEGUN) == "1", "the first chunk")
    first.stopped()
    assert shop.direct.value("SELECT lease_until IS NULL FROM pgbackfill.ranges") == "t"
    shop.direct("UPDATE pgbackfill.jobs SET options = '{}'")

    start(shop.direct.dsn, "--drain").drained()

    assert shop.direct.value(STATUS) == "succeeded"
    assert shop.direct.value(CHANGED) == "20000"


def test_a_job_that_reads_another_table_and_a_partitioned_one(shop: Any, start: Callable[..., Any]) -> None:
    shop.direct(
        "CREATE TABLE countries (code text PRIMARY KEY, name text)",
        "INSERT INTO countries VALUES ('de', 'Germany'), ('fr', 'France')",
        "CREATE TABLE visits (id bigint, day date, country text, label text, PRIMARY KEY (id, day))"
        " PARTITION BY RANGE (day)",
        "CREATE TABLE visits_2024 PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        "INSERT INTO visits SELECT g, date '2024-06-01' + g % 400, CASE g % 2 WHEN 0 THEN 'de' ELSE 'fr' END"
        " FROM generate_series(1, 10000) AS g",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, from_clause, where_clause) VALUES"
        " ('labels', 'visits', 'label = c.name', 'countries AS c', 'c.code = t.country AND t.label IS NULL')",
    )

    start(shop.direct.dsn, "--drain").drained()

    assert shop.direct("SELECT status, rows_scanned, rows_changed FROM pgbackfill.progress") == [
        ("succeeded", "10000", "10000")
    ]
    assert shop.direct.value("SELECT count(*) FROM visits JOIN countries ON code = country AND label = name") == "10000"


def test_a_job_whose_sql_fails_ends_the_run_with_code_1_and_says_why(shop: Any, start: Callable[..., Any]) -> None:
    shop.direct(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause) VALUES ('gone', 'users', 'email_lower = email')",
        "ALTER TABLE users DROP COLUMN email_lower",
    )

    daemon = start(shop.direct.dsn, "--drain")

    assert daemon.process.wait(60) == 1
    ((error, *_), *_) = shop.direct("SELECT error FROM pgbackfill.jobs")
    assert 'column "email_lower"' in error
