"""A table is replaced while it is written to, again and again, and the commands that do it are killed anywhere.

`make shadow-rounds` does it 200 times, and kills after every single statement; `make test` does a few of both.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import shadows
from support.doomed import survived
from support.field import Field
from support.steps import may_begin, taken

from pgbackfill.control.options import PacingOptions
from pgbackfill.database import jobs, prepare
from pgbackfill.shadow import make, remove, state, swap
from pgbackfill.shadow.state import Stage

ROUNDS = int(os.environ.get("PGBACKFILL_SHADOW_ROUNDS", "5"))
KILL_EVERY = int(os.environ.get("PGBACKFILL_SHADOW_KILL_EVERY", "15"))
"""Statements between two places at which a command is killed."""

LARGEST = 60
WRITERS = 3
NEVER = 1 << 30

TABLE = """
CREATE TABLE orders (id int PRIMARY KEY, u int UNIQUE, n int NOT NULL DEFAULT 0, note text,
    number int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE items (id serial PRIMARY KEY, "order" int REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE);
CREATE VIEW notes AS SELECT id::text AS id, note FROM orders;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN UPDATE orders SET note = 'n' || n WHERE id = NEW.id AND note IS DISTINCT FROM 'n' || n; RETURN NULL; END$$;
CREATE TRIGGER a_noted AFTER UPDATE OF n ON orders FOR EACH ROW EXECUTE FUNCTION noted();
"""
OPERATIONS = {
    "insert": "INSERT INTO orders (id, u, n) VALUES ($1::int, $1::int, $2::int) ON CONFLICT DO NOTHING",
    "update": "UPDATE orders SET n = n + $2::int, u = NULL WHERE id = $1::int",
    "upsert": "INSERT INTO orders (id, n) VALUES ($1::int, $2::int) ON CONFLICT (id) DO UPDATE SET n = orders.n + 1",
    "change key": "UPDATE orders SET id = $2::int, u = NULL"
    " WHERE id = $1::int AND NOT EXISTS (SELECT FROM orders WHERE id = $2::int)",
    "delete": "DELETE FROM orders WHERE id = $1::int AND $2::int IS NOT NULL",
    "again": "WITH d AS (DELETE FROM orders WHERE id = $1::int RETURNING id)"
    " INSERT INTO orders (id, n) SELECT id, $2::int FROM d",
    "item": 'INSERT INTO items ("order") SELECT id FROM orders WHERE id IN ($1::int, $2::int)',
    "many": "UPDATE orders SET n = n + 1 WHERE id BETWEEN $1::int AND $2::int",
}
EXPECTED = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)
"""What any application meets, whose statements collide like these."""

Writes = list[list[tuple[str, int, int]]]
numbers = st.integers(1, LARGEST)
transactions = st.lists(
    st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), numbers, numbers), min_size=1, max_size=3),
    min_size=1,
    max_size=12,
)
kills = st.one_of(st.just(NEVER), st.integers(1, 80))


@dataclass
class Traffic:
    """Writers that do the same again and again, each in transactions of its own, until the block ends."""

    field: Field
    done: int = 0

    @asynccontextmanager
    async def during(self, writes: list[Writes], levels: list[str]) -> AsyncIterator[None]:
        stop = False

        async def write(course: Writes, level: str) -> None:
            connection = await asyncpg.connect(self.field.database.dsn)
            try:
                # Those who run into each other shall not wait for a second.
                await connection.execute("SET deadlock_timeout TO '20ms'")
                await writing(connection, course, level)
            finally:
                connection.terminate()

        async def writing(connection: Any, course: Writes, level: str) -> None:
            while not stop:
                for transaction in course:
                    if stop:
                        return
                    try:
                        async with connection.transaction(isolation=level):
                            for operation, a, b in transaction:
                                await connection.execute(OPERATIONS[operation], a, b)
                    except EXPECTED:
                        continue
                    self.done += 1

        async with anyio.create_task_group() as tasks:
            for course, level in zip(writes, levels, strict=True):
                tasks.start_soon(write, course, level)
            yield
            stop = True


@pytest.fixture
async def traffic(database: Any) -> Traffic:
    return Traffic(await Field.open(database, "SET lock_timeout TO '20s'"))


async def _anew(field: Field, rows: int) -> None:
    await field.execute(
        "DROP VIEW IF EXISTS notes; DROP TABLE IF EXISTS items, orders, orders_old, orders_shadow CASCADE;"
        " DROP FUNCTION IF EXISTS noted; TRUNCATE pgbackfill.jobs, pgbackfill.shadows CASCADE"
    )
    await field.execute(f"{TABLE}; INSERT INTO orders (id, u) SELECT i, i FROM generate_series(1, {rows}) AS i")


async def _copied(field: Field, rows: int) -> None:
    """Runs the job in chunks of so many rows."""
    assert await jobs.start_next(field.connection) is not None
    (job,) = await jobs.active(field.connection)
    await may_begin(field, job)
    connection = await asyncpg.connect(field.database.dsn)
    try:
        assert await prepare.prepare(field.connection, connection, job)
        while await field.value("SELECT EXISTS (SELECT FROM pgbackfill.ranges WHERE status = 'open')"):
            chunk = await taken(field, job, connection)
            while True:
                try:
                    if (await chunk.run(rows, PacingOptions(), sleep_s=0.0, rows_per_second=None)).finished:
                        break
                except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                    rows = max(1, rows // 2)
    finally:  # whatever failed, the next round must not wait for it
        connection.terminate()
    await jobs.settle(field.connection)
    assert (await field.progress(job.name))["status"] == "succeeded"


async def _step(field: Field, name: str, killed: int = NEVER) -> int:
    """One command, as the command line runs it; how many statements it had left to live."""

    async def command(connection: Any) -> None:
        if name == "create":
            alters = ("ALTER COLUMN id TYPE bigint", "ADD COLUMN extra text DEFAULT 'new'")
            await make.create(connection, make.Wanted("s", "public.orders", alters), shadows.PATIENCE)
            return
        shadow = await state.find(connection, "s")
        if name in ("cutover", "rollback"):
            await getattr(swap, name)(connection, shadow, shadows.PATIENCE)
            await swap.validate(connection, await state.find(connection, "s"))
        else:
            await getattr(remove, name)(connection, shadow, shadows.PATIENCE)

    return (await survived(field.database.dsn, command, killed))[1]


async def _whole(field: Field, stage: Stage) -> None:
    """Both tables are the same, and everything is where it belongs."""
    assert (await shadows.now(field)).stage is stage
    assert (await shadows.same(field)).same
    swapped = stage is Stage.CUT_OVER
    assert await field.value("SELECT pg_typeof(id)::text FROM orders UNION SELECT 'none' LIMIT 1") in (
        "none", "bigint" if swapped else "integer",
    )  # fmt: skip
    assert await field.rows(
        """SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND tgname = 'a_noted'),
                  (SELECT count(*) FROM pg_trigger WHERE tgname = 'pgbackfill_shadow_row'
                      AND tgrelid = 'orders'::regclass),
                  (SELECT count(*) FROM pg_trigger WHERE tgname = 'pgbackfill_shadow_row'),
                  (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confrelid = 'orders'::regclass
                      AND convalidated),
                  (SELECT count(*) FROM notes) = (SELECT count(*) FROM orders)"""
    ) == [(1, 1, 1, 1, True)]


@pytest.mark.newest
@settings(
    max_examples=ROUNDS,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # who meets whom is up to the server: a failure does not shrink
    report_multiple_bugs=False,  # what comes after a failed round begins with its remains
    suppress_health_check=list(HealthCheck),
)
@given(
    rows=st.integers(0, LARGEST),
    chunk=st.integers(1, 30),
    writes=st.lists(transactions, min_size=WRITERS, max_size=WRITERS),
    levels=st.lists(
        st.sampled_from(["read_committed"] * 3 + ["repeatable_read", "serializable"]),
        min_size=WRITERS,
        max_size=WRITERS,
    ),
    killed=st.lists(kills, min_size=6, max_size=6),
    end=st.sampled_from(["abort", "drop"]),
)
async def test_a_table_is_replaced_under_traffic_and_comes_back(
    traffic: Traffic, rows: int, chunk: int, writes: list[Writes], levels: list[str], killed: list[int], end: str
) -> None:
    field = traffic.field
    await _anew(field, rows)
    async with traffic.during(writes, levels):
        await _step(field, "create", killed[0])
        await _copied(field, chunk)
    await _whole(field, Stage.COPYING)
    for step, stage, kill in (
        ("cutover", Stage.CUT_OVER, killed[1]),
        ("rollback", Stage.COPYING, killed[2]),
        ("cutover", Stage.CUT_OVER, killed[3]),
    ):
        async with traffic.during(writes, levels):
            await _step(field, step, kill)
            await anyio.sleep(random.Random(rows).uniform(0, 0.05))
        await _whole(field, stage)
    async with traffic.during(writes, levels):
        if end == "abort":
            await _step(field, "rollback", killed[4])
        await _step(field, end, killed[5])
    assert traffic.done > 0
    assert (await shadows.now(field)).stage == {"abort": Stage.ABORTED, "drop": Stage.DROPPED}[end]
    assert await field.rows(
        """SELECT to_regclass('orders_shadow'), to_regclass('orders_old'), pg_typeof(max(id))::text,
                  (SELECT count(*) FROM pg_proc WHERE proname LIKE 'pgbackfill\\_shadow%') FROM orders"""
    ) == [(None, None, "integer" if end == "abort" else "bigint", 0)]


@pytest.mark.newest
async def test_a_command_that_is_killed_after_any_statement_goes_on_when_it_is_run_again(traffic: Traffic) -> None:
    field, finished, statement = traffic.field, dict[str, int](), 1
    course = (
        ("create", None), ("cutover", Stage.CUT_OVER), ("rollback", Stage.COPYING), ("cutover", Stage.CUT_OVER),
        ("rollback", Stage.COPYING), ("abort", None), ("create", None), ("cutover", Stage.CUT_OVER), ("drop", None),
    )  # fmt: skip
    while len(finished) < len({step for step, _ in course}):
        await _anew(field, 5)
        for step, stage in course:
            if await _step(field, step, statement) > 0:
                finished.setdefault(step, statement)
            await field.execute(
                "INSERT INTO orders (id, n) SELECT max(id) + 1, 1 FROM orders; UPDATE orders SET n = n + 1"
            )
            if step == "create":
                await _copied(field, 3)
            if stage is not None:
                await _whole(field, stage)
        statement += KILL_EVERY
    assert min(finished.values()) > 5, finished
