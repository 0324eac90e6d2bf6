"""After the last chunk every row is looked at again: what the job promised decides whether it succeeds."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from support.field import Field, eventually

from pgbackfill.database import jobs

USERS = (
    "CREATE TABLE users (id bigint PRIMARY KEY, email text, email_lower text, n int NOT NULL DEFAULT 0)",
    "INSERT INTO users SELECT i, 'User' || i FROM generate_series(1, 40) AS i",
)
KEEPS_ID_5 = (
    "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RETURN CASE WHEN OLD.id <> 5 THEN NEW END; END $$",
    "CREATE TRIGGER keep BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION keep()",
)
LOWER = {"table_name": "users", "set_clause": "email_lower = lower(email)"}
CHECK = {"options": {"verify": "check"}}


async def mismatches(field: Field) -> list[list[str]]:
    return [key for (key,) in await field.rows("SELECT key FROM pgbackfill.mismatches ORDER BY key")]


async def spoil(field: Field, what: str, when: str) -> None:
    """What the application does to a row that is being changed."""
    await field.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN NEW.{what}; RETURN NEW; END $$;"
        f" CREATE TRIGGER spoil BEFORE UPDATE ON users FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION spoil()"
    )


@pytest.mark.newest
async def test_a_job_that_does_not_ask_is_not_verified(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.backfill(**LOWER)
    assert await field.value("SELECT count(*) FROM pgbackfill.steps") == 0


@pytest.mark.newest
@pytest.mark.parametrize("where", [None, "email_lower IS NULL"])
async def test_a_job_succeeds_after_a_pass_that_finds_nothing(database: Any, where: str | None) -> None:
    field = await Field.open(database, *USERS)
    # Right although where_clause still selects it.
    await field.execute("INSERT INTO users VALUES (41, NULL)")
    done = await field.backfill(**LOWER, **CHECK, **({"where_clause": where} if where else {}))
    assert done["rows_changed"] == 41
    (verified,) = await field.events("verified")
    assert verified == {"rows": 41, "mismatches": 0, "later": 0, "quarantined": 0, "on": "primary", "round": 0}
    moves = [(move["from"], move["to"]) for move in await field.events("status")]
    assert moves == [("queued", "running"), ("running", "verifying"), ("verifying", "succeeded")]


@pytest.mark.newest
async def test_the_setting_of_the_daemon_holds_for_jobs_that_do_not_say(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.enqueue(**LOWER)
    assert await field.drain(verify="check") == 0
    assert len(await field.events("verified")) == 1


async def test_a_row_that_the_job_missed_fails_it_and_is_listed(database: Any) -> None:
    field = await Field.open(database, *USERS, *KEEPS_ID_5)
    await field.enqueue(**LOWER, **CHECK)
    assert await field.drain() == 1
    error = await field.error()
    assert error is not None
    assert "verification found 1 row that the job promised to change as before" in error
    assert await mismatches(field) == [["5"]]
    await field.execute("DROP TRIGGER keep ON users")
    await field.execute("UPDATE users SET email_lower = lower(email) WHERE id = 5")
    await field.execute("SELECT pgbackfill.retry('job')")
    assert await field.drain() == 0
    assert await mismatches(field) == []


@pytest.mark.newest
async def test_rows_born_or_written_since_are_counted_apart(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.enqueue(**LOWER, **CHECK)
    # The job begins; then the application writes without minding the new column.
    assert await jobs.start_next(field.connection) == "job"
    await field.execute("INSERT INTO users VALUES (0, 'New')")
    await spoil(field, "email_lower := NULL", "OLD.id IN (0, 7)")
    assert await field.drain() == 0
    (verified,) = await field.events("verified")
    assert (verified["mismatches"], verified["later"]) == (0, 2)
    assert await mismatches(field) == []


@pytest.mark.newest
async def test_a_repair_walks_the_wrong_rows_again(database: Any) -> None:
    field = await Field.open(database, *USERS, *KEEPS_ID_5)
    # By the time of the repair nothing holds the row back any more.
    await field.execute(
        "CREATE OR REPLACE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id <> 5 OR EXISTS"
        " (SELECT FROM pgbackfill.mismatches) THEN RETURN NEW; END IF; RETURN NULL; END $$"
    )
    done = await field.backfill(**LOWER, options={"verify": "repair"})
    assert [(v["round"], v["mismatches"]) for v in await field.events("verified")] == [(0, 1), (1, 0)]
    assert await field.rows("SELECT id FROM users WHERE email_lower IS DISTINCT FROM lower(email)") == []
    repairs = await field.rows("SELECT lower_key, upper_key, rows_changed FROM pgbackfill.ranges WHERE repair")
    assert repairs == [(["5"], ["5"], 1)]
    assert done["percent"] == 100


@pytest.mark.newest
async def test_a_repair_that_changes_nothing_ends_after_three_rounds(database: Any) -> None:
    field = await Field.open(database, *USERS, *KEEPS_ID_5)
    await field.enqueue(**LOWER, options={"verify": "repair"})
    assert await field.drain() == 1
    error = await field.error()
    assert error is not None
    assert "after 3 repairs; something takes the change back" in error


@pytest.mark.newest
async def test_quarantined_rows_are_accounted_for(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.execute("UPDATE users SET n = id % 20")
    await field.enqueue(table_name="users", set_clause="email_lower = (100 / n)::text", **CHECK)
    assert await field.drain() == 0
    (verified,) = await field.events("verified")
    assert (verified["mismatches"], verified["quarantined"]) == (0, 2)


@pytest.mark.newest
async def test_a_later_row_that_cannot_be_judged_stops_nothing(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.execute("UPDATE users SET n = 1")
    await field.enqueue(table_name="users", set_clause="email_lower = (100 / n)::text", **CHECK)
    assert await jobs.start_next(field.connection) == "job"
    await spoil(field, "n := 0", "OLD.id = 7")
    assert await field.drain(chunk_max_rows=50) == 0
    (verified,) = await field.events("verified")
    assert (verified["mismatches"], verified["later"]) == (0, 1)


@pytest.mark.newest
@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"set_clause": "n = n + 1"}, "cannot be computed again"),
        ({"set_clause": "n = n + 1", "where_clause": "email IS NOT NULL"}, "reads nothing that the job writes"),
        ({"set_clause": "email_lower = now()::text"}, "cannot be computed again"),
        ({"set_clause": "email_lower = (SELECT max(u.email) FROM users u)"}, "cannot be computed again"),
        ({"set_clause": "(email_lower, n) = (email, 1)"}, "more than plain assignments"),
        ({"set_clause": "n = DEFAULT"}, "more than plain assignments"),
        (
            {"operation": "statement", "statement": "INSERT INTO log SELECT id FROM chunk", "where_clause": "n = 0"},
            "reads nothing that the job writes",
        ),
        ({"operation": "delete", "where_clause": "n < extract(year FROM now())"}, "depends on the time"),
    ],
)
async def test_what_cannot_be_recognised_is_skipped_and_said(database: Any, row: dict[str, Any], why: str) -> None:
    field = await Field.open(database, *USERS, "CREATE TABLE log (id bigint)")
    await field.backfill(table_name="users", **row, **CHECK)
    (skipped,) = await field.events("verification_skipped")
    assert why in skipped["reason"]
    assert await field.value("SELECT status FROM pgbackfill.steps") == "skipped"


@pytest.mark.newest
@pytest.mark.parametrize(
    "row",
    [
        {"set_clause": "n = n + 1", "where_clause": "n = 0"},
        {"set_clause": "(email_lower, n) = (email, 1)", "where_clause": "n = 0"},
        {
            "set_clause": "n = o.n, email_lower = 'x'",
            "from_clause": "other AS o",
            "where_clause": "o.id = t.id AND t.n = 0",
        },
        {"operation": "delete"},
        {"operation": "delete", "where_clause": "n = 0"},
        {
            "operation": "statement",
            "statement": "INSERT INTO log SELECT id FROM chunk",
            "where_clause": "NOT EXISTS (SELECT FROM log l WHERE l.id = t.id)",
        },
        {"set_clause": "\"email_lower\" = 'a,b=''c' /* , n = 1 */ || $x$ (,$x$ || t.email -- , \n, n = (id % 7)::int"},
    ],
)
async def test_what_can_be_recognised_is_verified(database: Any, row: dict[str, Any]) -> None:
    field = await Field.open(
        database, *USERS, "CREATE TABLE log (id bigint)", "CREATE TABLE other AS SELECT 1::bigint AS id, 1 AS n",
        "CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON users FOR EACH ROW WHEN (OLD.id < 0) EXECUTE FUNCTION"
        " suppress_redundant_updates_trigger()",
    )  # fmt: skip
    await field.backfill(table_name="users", **row, **CHECK)
    (verified,) = await field.events("verified")
    assert (verified["rows"], verified["mismatches"]) == (0 if row.get("operation") == "delete" else 40, 0)


async def test_every_leaf_and_a_composite_key_are_looked_at(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE visits (id bigint, day date, n int, PRIMARY KEY (day, id)) PARTITION BY RANGE (day)",
        "CREATE TABLE v1 PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "CREATE TABLE v2 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        "INSERT INTO visits SELECT i, date '2024-12-20' + i, 0 FROM generate_series(1, 30) AS i",
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER keep BEFORE UPDATE ON v2 FOR EACH ROW WHEN (OLD.id IN (15, 30)) EXECUTE FUNCTION keep()",
    )
    await field.enqueue(table_name="visits", set_clause="n = extract(doy FROM day)::int", **CHECK)
    assert await field.drain() == 1
    assert await mismatches(field) == [["2025-01-04", "15"], ["2025-01-19", "30"]]


@pytest.mark.newest
async def test_a_pass_can_be_paused_and_goes_on_where_it_stood(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.enqueue(**LOWER, options={"verify": "check", "max_rows_per_s": 20})

    async def some() -> Any:
        return await field.value("SELECT (state->>'rows')::int > 0 FROM pgbackfill.steps WHERE status = 'open'")

    async def is_status(status: str) -> Any:
        return await field.value("SELECT status = $1 FROM pgbackfill.jobs", status)

    async with field.daemon():
        await eventually(some)
        await field.execute("SELECT pgbackfill.pause('job')")
        await eventually(lambda: is_status("paused"))
        assert (await field.value("SELECT lease_until IS NULL FROM pgbackfill.steps")) is True
        await field.execute('UPDATE pgbackfill.jobs SET options = \'{"verify": "check"}\'')
        await field.execute("SELECT pgbackfill.resume('job')")
        await eventually(lambda: is_status("succeeded"))
    (verified,) = await field.events("verified")
    assert verified["rows"] == 40


async def test_a_replica_that_is_caught_up_is_read_instead_of_the_primary(pair: Any) -> None:
    field = await Field.open(pair.database, *USERS)
    dsn = pair.standby.dsn(pair.database.name)
    await field.enqueue(**LOWER, **CHECK)
    assert await field.drain(replica_dsns=[SecretStr(dsn)]) == 0
    (verified,) = await field.events("verified")
    assert (verified["rows"], verified["mismatches"]) == (40, 0)
    assert verified["on"].endswith(f":{urlsplit(dsn).port}")


async def test_a_replica_that_may_not_read_the_table_is_left_for_the_primary(pair: Any) -> None:
    field = await Field.open(pair.database, *USERS)
    # A member of pg_monitor, as a login that is asked for lag, with no right on the table.
    login = urlsplit(await pair.database.login("pg_monitor"))
    dsn = pair.standby.dsn(pair.database.name, user=login.username)
    await field.enqueue(**LOWER, **CHECK)
    assert await field.drain(replica_dsns=[SecretStr(dsn)]) == 0
    (verified,) = await field.events("verified")
    assert (verified["rows"], verified["on"]) == (40, "primary")


@pytest.mark.newest
async def test_another_table_under_the_name_is_not_mistaken_for_the_walked_one(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.enqueue(**LOWER, options={"verify": "check", "max_rows_per_s": 40})

    async def some() -> Any:
        return await field.value("SELECT (state->>'rows')::int > 0 FROM pgbackfill.steps WHERE status = 'open'")

    async with field.daemon():
        await eventually(some)
        await field.execute("ALTER TABLE users RENAME TO old; CREATE TABLE users (LIKE old INCLUDING ALL)")
        await field.execute("INSERT INTO users SELECT id, email, NULL FROM old")
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    (verified,) = await field.events("verified")
    assert (verified["rows"], verified["mismatches"], verified["later"]) == (40, 0, 0)


@pytest.mark.newest
async def test_clauses_that_write_are_never_run_by_a_verification(database: Any) -> None:
    field = await Field.open(
        database, *USERS, "CREATE TABLE log (id bigint)",
        "CREATE FUNCTION noted(n int) RETURNS boolean LANGUAGE sql AS 'INSERT INTO log VALUES (n) RETURNING true'",
    )  # fmt: skip
    await field.backfill(table_name="users", set_clause="n = 1", where_clause="noted(n)", **CHECK)
    (skipped,) = await field.events("verification_skipped")
    assert skipped["reason"] == "its clauses write, which a look at the rows must not"
