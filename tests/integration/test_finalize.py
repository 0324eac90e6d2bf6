"""What follows the last chunk: each step leaves the table as it says, whatever an earlier attempt has left behind."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from support.field import Field, eventually

USERS = (
    "CREATE TABLE users (id bigint PRIMARY KEY, email text, email_lower text, n int)",
    "INSERT INTO users SELECT i, 'User' || i FROM generate_series(1, 40) AS i",
)
LOWER = {"table_name": "users", "set_clause": "email_lower = lower(email)"}
ALL = [
    {"set_not_null": "email_lower"},
    {"set_default": {"column": "n", "default": "7 -- seven"}},
    {"add_check": {"name": "users_lower", "check": "email_lower = lower(email_lower)"}},
    {
        "create_index": {
            "name": "users_email",
            "columns": "email_lower",
            "unique": True,
            "where": "id > 0",
            "include": "n",
        }
    },
    "analyze",
    "vacuum",
    {"sql": "CREATE TABLE done AS SELECT count(*) FROM users"},
    {"sql": {"sql": "CREATE INDEX CONCURRENTLY users_n ON users (n)", "transaction": False}},
]


def steps(*finalize: Any) -> dict[str, str]:
    return {"finalize": json.dumps(finalize)}


async def index(field: Field, name: str) -> tuple[bool, bool] | None:
    """Whether it is valid and unique; None where there is none."""
    rows = await field.rows(
        "SELECT i.indisvalid, i.indisunique FROM pg_index i WHERE i.indexrelid = to_regclass($1)", name
    )
    return rows[0] if rows else None


async def helpers(field: Field) -> int:
    found: int = await field.value("SELECT count(*) FROM pg_constraint WHERE conname LIKE 'pgbackfill%'")
    return found


async def test_every_step_is_done_once_and_in_order(database: Any) -> None:
    field = await Field.open(database, *USERS)
    done = await field.backfill(**LOWER, **steps(*ALL))
    assert (done["step"], done["step_percent"], done["percent"]) == (None, None, 100)
    kinds = await field.rows("SELECT kind, status FROM pgbackfill.steps ORDER BY ordinal")
    assert kinds == [(next(iter(s)) if isinstance(s, dict) else s, "done") for s in ALL]
    assert [event["step"] for event in await field.events("finalized")] == [kind for kind, _ in kinds]
    assert await field.value(
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'email_lower'"
    )
    await field.execute("INSERT INTO users VALUES (50, 'x', 'x')")
    assert await field.value("SELECT n FROM users WHERE id = 50") == 7
    with pytest.raises(asyncpg.CheckViolationError):
        await field.execute("INSERT INTO users VALUES (51, 'X', 'X')")
    assert await field.value("SELECT convalidated FROM pg_constraint WHERE conname = 'users_lower'")
    assert await index(field, "users_email") == (True, True)
    assert await index(field, "users_n") == (True, False)
    assert await helpers(field) == 0
    assert await field.value("SELECT count(*) FROM done") == 1


@pytest.mark.newest
async def test_steps_follow_a_verification_that_found_nothing_wrong(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.backfill(**LOWER, **steps({"set_not_null": "email_lower"}), options={"verify": "check"})
    assert await field.rows("SELECT kind, status FROM pgbackfill.steps ORDER BY ordinal") == [
        ("verify", "done"), ("set_not_null", "done"),
    ]  # fmt: skip


@pytest.mark.newest
async def test_a_row_that_is_null_fails_the_job_and_leaves_no_half_of_a_constraint(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.execute("INSERT INTO users VALUES (41, NULL)")
    await field.enqueue(**LOWER, **steps({"set_not_null": "email_lower"}))
    assert await field.drain() == 1
    error = await field.error()
    assert error is not None
    assert error.startswith('step 1 (set_not_null): a row violates CHECK ("email_lower" IS NOT NULL)')
    assert await helpers(field) == 0
    await field.execute("UPDATE users SET email_lower = '' WHERE id = 41")
    await field.execute("SELECT pgbackfill.retry('job')")
    assert await field.drain() == 0


@pytest.mark.newest
@pytest.mark.parametrize("left", ["nothing", "unchecked", "checked", "not_null"])
async def test_set_not_null_goes_on_from_wherever_it_was_interrupted(database: Any, left: str) -> None:
    field = await Field.open(database, *USERS)
    job_id = await field.enqueue(**LOWER, **steps({"set_not_null": "email_lower"}))
    await field.execute("UPDATE users SET email_lower = ''")
    helper = f"pgbackfill_{job_id}_1_not_null"
    if left != "nothing":
        await field.execute(f"ALTER TABLE users ADD CONSTRAINT {helper} CHECK (email_lower IS NOT NULL) NOT VALID")
    if left in ("checked", "not_null"):
        await field.execute(f"ALTER TABLE users VALIDATE CONSTRAINT {helper}")
    if left == "not_null":
        await field.execute("ALTER TABLE users ALTER COLUMN email_lower SET NOT NULL")
    assert await field.drain() == 0
    assert await helpers(field) == 0
    with pytest.raises(asyncpg.NotNullViolationError):
        await field.execute("INSERT INTO users VALUES (41)")


async def test_an_invalid_index_is_dropped_and_built_anew(database: Any) -> None:
    field = await Field.open(database, *USERS)
    with pytest.raises(asyncpg.UniqueViolationError):
        await field.execute("CREATE UNIQUE INDEX CONCURRENTLY users_email ON users ((id % 2))")
    assert await index(field, "users_email") == (False, True)
    await field.backfill(**LOWER, **steps({"create_index": {"name": "users_email", "columns": "email_lower"}}))
    assert await index(field, "users_email") == (True, False)
    assert await field.events("invalid_index_dropped") == [{"index": "users_email"}]


@pytest.mark.newest
async def test_an_index_that_cannot_be_unique_fails_the_job_and_leaves_nothing(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.execute("UPDATE users SET email = 'same'")
    await field.enqueue(**LOWER, **steps({"create_index": {"name": "u", "columns": "email_lower", "unique": True}}))
    assert await field.drain() == 1
    error = await field.error()
    assert error is not None
    assert "could not create unique index" in error
    assert await index(field, "u") is None


@pytest.mark.newest
async def test_an_index_that_somebody_builds_is_waited_for(database: Any) -> None:
    field = await Field.open(database, *USERS)
    blocker, builder = await database.connect(), await database.connect()
    await field.enqueue(**LOWER, **steps({"create_index": {"name": "users_email", "columns": "email_lower"}}))
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")

    async def building() -> Any:
        return await field.value("SELECT EXISTS (SELECT FROM pg_stat_progress_create_index)")

    async def held() -> Any:
        row = await field.progress()
        return (row["hold_reason"] or "").startswith("index_build by pid")

    build = asyncio.create_task(builder.execute("CREATE INDEX CONCURRENTLY users_email ON users (email_lower)"))
    await eventually(building)
    async with field.daemon():
        await eventually(held)
        assert (await field.progress())["step"] == "create_index"
        await transaction.rollback()
        await build
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.events("invalid_index_dropped") == []


@pytest.mark.newest
async def test_a_locked_table_is_waited_for_in_short_pieces_and_named(database: Any) -> None:
    field = await Field.open(database, *USERS)
    await field.enqueue(**LOWER, **steps({"set_not_null": "email_lower"}))
    other = await database.connect()
    pid = other.get_server_pid()

    async def held() -> Any:
        return (await field.progress())["hold_reason"]

    async with field.daemon():
        await field.execute("UPDATE pgbackfill.jobs SET desired_state = 'pause'")
        await eventually(lambda: field.value("SELECT status = 'paused' FROM pgbackfill.jobs"))
        async with other.transaction():
            await other.execute("SELECT 1 FROM users")
            await field.execute("SELECT pgbackfill.resume('job')")
            reason = await eventually(held)
            while not reason.startswith("table_locked"):
                reason = await eventually(held)
            assert reason.startswith(f"table_locked by pid {pid}")
            # Nobody stands in a queue behind it.
            await field.execute("SET lock_timeout = '1s'; UPDATE users SET n = 1 WHERE id = 1; RESET lock_timeout")
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))


@pytest.mark.newest
async def test_sql_commits_together_with_its_mark(database: Any) -> None:
    field = await Field.open(database, *USERS, "CREATE TABLE done (id int PRIMARY KEY)")
    await field.enqueue(
        **LOWER, **steps({"sql": "INSERT INTO done VALUES (1)"}, {"sql": "INSERT INTO done SELECT 1 / 0"})
    )
    assert await field.drain() == 1
    assert await field.error() == "step 2 (sql): division by zero (SQLSTATE 22012)"
    await field.execute("SELECT pgbackfill.retry('job')")
    assert await field.drain() == 1, "the second step fails again, the first is not run again"
    assert await field.value("SELECT count(*) FROM done") == 1


@pytest.mark.newest
@pytest.mark.parametrize(
    ("finalize", "said"),
    [
        ({"set_not_null": "email"}, "must be a JSON list of steps"),
        ([1], "each step must be a name or an object with one name"),
        ([{"analyze": {}, "vacuum": {}}], "each step must be a name or an object with one name"),
        (["analyse"], "step 1 (analyse) is unknown; there are add_check, analyze,"),
        (["set_not_null"], 'step 1 (set_not_null) lacks "column"'),
        ([{"set_not_null": 5}], "step 1 (set_not_null) must have an object with its fields"),
        ([{"set_not_null": {"column": "email", "now": True}}], 'step 1 (set_not_null) has no field "now"'),
        (
            [{"create_index": {"name": "i", "columns": "email", "unique": "yes"}}],
            '"unique" must be a boolean, not "yes"',
        ),
        (
            ["analyze", {"set_not_null": "e_mail"}],
            'step 2 (set_not_null): column "e_mail" of relation "users" does not',
        ),
        (
            [{"set_default": {"column": "n", "default": "'x'"}}],
            "step 1 (set_default): invalid input syntax for type integer",
        ),
        ([{"add_check": {"name": "c", "check": "email ="}}], "step 1 (add_check): syntax error"),
        (
            [{"create_index": {"name": "i", "columns": "lower(emil)"}}],
            'step 1 (create_index): column "emil" does not exist',
        ),
        ([{"create_index": {"name": "canary", "columns": "email"}}], 'has the name of something else, "canary"'),
        ([{"validate_constraint": "none"}], "step 1 (validate_constraint) names no constraint of public.users"),
        ([{"sql": " "}], '"sql" must not be empty'),
    ],
)
async def test_a_wrong_step_is_refused_at_insert(shop: Any, finalize: Any, said: str) -> None:
    error = await shop.refusal(set_clause="n = 1", finalize=json.dumps(finalize))
    assert error.column_name == "finalize"
    assert said in error.message
    assert await shop.untouched()
    assert await shop.connection.fetchval("SELECT to_regclass('pg_temp.users')") is None


@pytest.mark.newest
async def test_only_who_owns_the_table_may_change_it(shop: Any) -> None:
    login = await shop.database.login("pgbackfill_enqueuer")
    await shop.connection.execute("GRANT SELECT, UPDATE ON users TO pgbackfill_enqueuer")
    connection = await shop.database.connect(login)
    error = await shop.refusal(connection, set_clause="n = 1", finalize='[{"set_not_null": "email"}]')
    assert "step 1 (set_not_null) needs the owner of public.users; GRANT" in error.message
    # SQL is nobody's to judge here: it runs with the rights of the work login.
    assert await shop.insert(connection, set_clause="n = 1", finalize='[{"sql": "ANALYZE"}]')


@pytest.mark.newest
async def test_steps_run_as_the_work_login_which_has_to_own_the_table(database: Any) -> None:
    field = await Field.open(database, *USERS)
    owner, work = await database.login(), await database.login("pgbackfill_worker")
    owner_name, work_name = urlsplit(owner).username, urlsplit(work).username
    await field.execute(f"ALTER TABLE users OWNER TO {owner_name}; GRANT SELECT, UPDATE ON users TO {work_name}")
    finalize = steps(
        {"set_not_null": "email_lower"}, {"create_index": {"name": "u", "columns": "n"}}, {"sql": "ANALYZE users"}
    )
    await field.enqueue(**LOWER, **finalize)
    assert await field.drain(work_dsn=SecretStr(work)) == 1
    assert await field.error() == (
        "the work login may not do what finalize asks for (create_index, set_not_null);"
        f" GRANT {owner_name} TO {work_name}; GRANT CREATE ON SCHEMA public TO {work_name}"
    )
    assert await field.value("SELECT count(email_lower) FROM users") == 0
    await field.execute(f"GRANT {owner_name} TO {work_name}; GRANT CREATE ON SCHEMA public TO {work_name}")
    await field.execute("SELECT pgbackfill.retry('job')")
    assert await field.drain(work_dsn=SecretStr(work)) == 0, await field.error()
    assert await index(field, "u") == (True, False)
