"""Job rows at random, beside a daemon that runs whatever is accepted.

PGBACKFILL_FUZZ_CASES says how many (`make fuzz`: 10,000).
"""

from __future__ import annotations

import os
import random
from typing import Any

import asyncpg
import pytest
from support import fuzz
from support.field import Field, eventually

CASES = int(os.environ.get("PGBACKFILL_FUZZ_CASES", "120"))
SEEDS = 2
TABLES = 6
ROWS = 3
BATCH = 25
"""So many rows are inserted before those that were accepted have to end: a job that hangs is found at once."""

DDL = (
    "CREATE TABLE users (id bigint PRIMARY KEY, email text, n int)",
    "INSERT INTO users VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)",
    "CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint, note text)",
    "INSERT INTO orders VALUES (1, 1, 'x'), (2, 2, NULL)",
    *(f"CREATE TABLE target_{i} (id bigint PRIMARY KEY, email text, n int)" for i in range(TABLES)),
)
OUTSIDE = """
SELECT (SELECT md5(string_agg(u::text, '|' ORDER BY id)) FROM users u),
       (SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o),
       (SELECT array_agg(relname::text ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
       (SELECT md5(string_agg(rolname || rolsuper || coalesce(rolconfig::text, ''), '|' ORDER BY rolname))
          FROM pg_roles WHERE rolname !~ '^login_')
"""
BUSY = (
    "SELECT count(*) = 0 FROM pgbackfill.jobs WHERE status IN ('queued', 'running', 'verifying') AND run_after <= now()"
)
OF_THE_SERVER = {"22007", "22008", "22021", "22P02", "22P05", "22003", "23505"}
"""What Postgres itself says before the check or after it: no such text, number, time or JSON; a name that is taken."""


async def _refill(field: Field) -> None:
    for number in range(TABLES):
        await field.execute(f"TRUNCATE target_{number}")
        await field.execute(
            f"INSERT INTO target_{number} SELECT i, 'mail' || i, 0 FROM generate_series(1, {ROWS}) AS i"
        )


async def _idle(field: Field) -> None:
    """Waits until every job that may run has ended; names those that hang."""
    try:
        await eventually(lambda: field.value(BUSY))
    except TimeoutError:
        left = "SELECT j::text, p.hold_reason FROM pgbackfill.jobs j JOIN pgbackfill.progress p USING (name) WHERE"
        raise AssertionError(f"these hang: {await field.rows(f'{left} j.status = $1', 'running')}") from None


async def _offer(enqueuer: asyncpg.Connection[Any], row: dict[str, Any]) -> bool:
    """Whether the row was accepted; a refusal is one sentence that begins with the column."""
    casts = {"params": "::text::jsonb", "session_settings": "::text::jsonb", "options": "::text::jsonb"}
    casts["run_after"] = "::text::timestamptz"
    places = ", ".join(f"${i}{casts.get(column, '')}" for i, column in enumerate(row, 1))
    insert = f"INSERT INTO pgbackfill.jobs ({', '.join(row)}) VALUES ({places})"
    refused: asyncpg.PostgresError | None = None
    try:
        await enqueuer.execute(insert, *row.values())
    except asyncpg.PostgresError as error:
        refused = error
    if refused is None:
        return True
    assert "\n" not in refused.message, (row, refused.message)
    if refused.sqlstate not in OF_THE_SERVER:
        assert refused.sqlstate == "22023", (row, refused)
        assert refused.message.startswith(f"{refused.column_name}: "), (row, refused.message)
    return False


@pytest.mark.newest
@pytest.mark.parametrize("seed", range(SEEDS))  # so that two workers share them
async def test_any_row_is_refused_with_a_sentence_or_stays_within_its_table(database: Any, seed: int) -> None:
    chance = random.Random(seed)
    cases = CASES // SEEDS
    field = await Field.open(database, *DDL)
    before = await field.rows(OUTSIDE)
    enqueuer_dsn = await database.login("pgbackfill_enqueuer")
    login = enqueuer_dsn.split("//")[1].split(":")[0]
    await field.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {login}")
    enqueuer = await database.connect(enqueuer_dsn)
    accepted = 0
    async with field.daemon(max_concurrent_jobs=TABLES):
        for number in range(cases):
            if number % BATCH == 0:
                await _idle(field)
                await _refill(field)
            accepted += await _offer(enqueuer, fuzz.row(chance, f"job-{number}", f"target_{number % TABLES}"))
        await _idle(field)
    assert await field.rows(OUTSIDE) == before
    for (error,) in await field.rows("SELECT error FROM pgbackfill.jobs WHERE status = 'failed'"):
        assert error, "a job that failed says why"
    # Else the test would prove little.
    assert cases // 8 < accepted < cases - cases // 4
    await field.execute(f"DROP OWNED BY {login}")
