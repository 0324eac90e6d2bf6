"""A sync trigger gives every new row what the job gives the old ones, and nobody waits long for its installation."""

from __future__ import annotations

from typing import Any

import pytest
from support.field import Field

from pgbackfill.database.bounded import LocksNotTaken, Patience
from pgbackfill.dualwrite import install, origin
from pgbackfill.errors import PgbackfillError

USERS = """
CREATE TABLE users (id bigint PRIMARY KEY, email text, country text, born timestamptz,
    email_lower text, day text, note jsonb, doubled bigint GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO users (id, email, country, born)
    SELECT i, 'User' || i || '@Example', CASE WHEN i % 2 = 0 THEN 'DE' END,
        timestamptz '2024-03-30 22:00Z' + i * interval '1h'
    FROM generate_series(1, 20) AS i;
"""
QUICK = Patience(lock_timeout_ms=100, total_s=20)


async def _create(field: Field, name: str, table: str | None = None, clause: str = "", when: str | None = None) -> bool:
    if table is None:
        trigger, relation = await origin.of_job(field.connection, name, when)
    else:
        trigger, relation = await origin.of_assignments(field.connection, name, table, clause, when)
    return await install.create(field.connection, trigger, relation, QUICK)


async def test_new_rows_get_what_the_job_gives_the_old_ones(database: Any) -> None:
    field = await Field.open(database, USERS, "SET TimeZone TO 'Europe/Berlin'")
    clause = """email_lower = lower(email) -- a comment, b = 1
        , day = born::date::text, note = jsonb_build_object('was', t.email IS NULL, 'of', country, 'x', $$a,b$$)"""
    await field.enqueue(table_name="users", set_clause=clause, where_clause="email_lower IS NULL")
    assert await _create(field, "job")
    writer = await database.connect()
    await writer.execute("SET TimeZone TO 'America/New_York'; SET search_path TO pg_catalog")
    await writer.execute(
        "INSERT INTO public.users (id, email, country, born) SELECT id + 100, email, country, born FROM public.users;"
        "UPDATE public.users SET email = upper(email) WHERE id IN (3, 103)"
    )
    assert await field.drain() == 0, await field.error()
    wrong = await field.rows(
        """SELECT id FROM users WHERE email_lower IS DISTINCT FROM lower(email) OR day IS DISTINCT FROM born::date::text
           OR note IS DISTINCT FROM jsonb_build_object('was', email IS NULL, 'of', country, 'x', 'a,b')"""
    )
    assert (wrong, await field.value("SELECT count(*) FROM users")) == ([], 40)


async def test_the_trigger_sees_what_other_triggers_made_and_only_the_rows_of_its_condition(database: Any) -> None:
    field = await Field.open(
        database,
        USERS,
        "CREATE FUNCTION trimmed() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.email := trim(NEW.email); RETURN NEW; END $$",
        "CREATE TRIGGER trimmed BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION trimmed()",
    )
    await _create(field, "lower", "users", "email_lower = lower(email)", when="country = 'DE' -- only")
    await field.execute(
        "INSERT INTO users (id, email, country) VALUES (100, ' A ', 'DE'), (101, ' B ', 'FR'), (102, 'C', NULL)"
    )
    assert await field.rows("SELECT id, email_lower FROM users WHERE id >= 100 ORDER BY id") == [
        (100, "a"), (101, None), (102, None),
    ]  # fmt: skip


async def test_a_partitioned_table_has_it_on_every_partition_those_to_come_included(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE visits (n int, id bigint, day date, m int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
        "CREATE TABLE old PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "CREATE TABLE other (m int, day date NOT NULL, id bigint NOT NULL, n int, PRIMARY KEY (id, day))",
        "ALTER TABLE visits ATTACH PARTITION other FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    )
    assert await _create(field, "twice", "visits", "m = n * 2")
    await field.execute("CREATE TABLE late PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
    await field.execute("INSERT INTO visits SELECT i, i, date '2024-06-01' + i * 365 FROM generate_series(0, 2) AS i")
    await field.execute("UPDATE other SET n = 7")
    assert await field.rows("SELECT n, m FROM visits ORDER BY id") == [(0, 0), (7, 14), (2, 4)]
    assert await install.drop(field.connection, "twice", QUICK) == ["public.visits"]
    assert await field.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_pgbackfill%'") == 0


@pytest.mark.newest
async def test_create_and_drop_can_be_run_again(database: Any) -> None:
    field = await Field.open(database, USERS)
    assert [await _create(field, "x", "users", f"email_lower = {f}(email)") for f in ("upper", "lower")] == [
        True,
        False,
    ]
    await field.execute("UPDATE users SET country = 'FR' WHERE id = 1")
    assert await field.value("SELECT email_lower FROM users WHERE id = 1") == "user1@example"
    await field.execute('ALTER TABLE users DISABLE TRIGGER "zz_pgbackfill_sync_x"')
    assert await _create(field, "x", "users", "email_lower = lower(email)"), "one that is disabled is no trigger"
    assert await install.drop(field.connection, "x", QUICK) == ["public.users"]
    assert await install.drop(field.connection, "x", QUICK) == []
    assert await field.value("SELECT count(*) FROM pg_proc WHERE proname LIKE 'zz_pgbackfill%'") == 0


WRONG = [
    ("country = country || 'x'", None, "read country, which they set"),
    ("email_lower = lower(email), country = email_lower", None, "read email_lower, which they set"),
    ("note = to_jsonb(doubled)", None, "generated column doubled"),
    ("note = to_jsonb(t)", None, "the whole row t"),
    ("email_lower = email", "doubled > 1", "generated column doubled"),
    ("email_lower = email", "true) OR (true", "syntax error"),
    ("(email_lower, day) = (email, email)", None, "one by one"),
    ("email_lower = DEFAULT", None, "cannot assign DEFAULT"),
    ("id = 1", None, "set_clause: must not set id, a column of the key"),
    ("email_lower = nothing(email)", None, "set_clause: function nothing"),
    ("doubled = 1", None, "set_clause: column \"doubled\""),
    ("email_lower = email WHERE true", None, "set_clause: must be assignments only"),
]  # fmt: skip


@pytest.mark.newest
async def test_what_a_trigger_would_do_wrong_is_refused(database: Any) -> None:
    field = await Field.open(database, USERS)
    for clause, when, said in WRONG:
        with pytest.raises(PgbackfillError) as refused:
            await _create(field, "x", "users", clause, when)
        assert said in str(refused.value)
    assert await field.value("SELECT count(*) FROM pg_proc WHERE proname LIKE '%pgbackfill_%'") == 0


@pytest.mark.newest
async def test_jobs_that_a_trigger_cannot_follow_are_refused(database: Any) -> None:
    field = await Field.open(database, USERS)
    await field.enqueue(name="gone", table_name="users", operation="delete")
    await field.enqueue(name="from", table_name="users", set_clause="day = v.x", from_clause="(VALUES ('1')) AS v (x)")
    for name, said in (("gone", "is a delete"), ("from", "has a from_clause"), ("none", "There is no job 'none'")):
        with pytest.raises(PgbackfillError, match=said):
            await _create(field, name)


@pytest.mark.newest
async def test_nobody_queues_behind_the_installation_and_whoever_is_in_its_way_is_named(database: Any) -> None:
    field = await Field.open(database, USERS)
    trigger, relation = await origin.of_assignments(field.connection, "x", "users", "email_lower = lower(email)", None)
    holder, writer = await database.connect(), await database.connect()
    pid = await holder.fetchval("SELECT pg_backend_pid()")
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("UPDATE users SET country = 'XX' WHERE id = 1")
    with pytest.raises(LocksNotTaken, match=rf'"public"."users".*pid {pid} \(idle in transaction|pid {pid} \(idle'):
        await install.create(field.connection, trigger, relation, Patience(lock_timeout_ms=20, total_s=0.3))
    await writer.execute("UPDATE users SET country = 'YY' WHERE id = 2")
    assert await field.value("SELECT count(*) FROM pg_proc WHERE proname LIKE 'zz_pgbackfill%'") == 0
    await transaction.rollback()
    assert await install.create(field.connection, trigger, relation, QUICK)
