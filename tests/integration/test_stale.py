"""A job that reads another table, while the application writes both: never a stale value over a newer one.

The application keeps `totals.total` equal to the sum of the items, in one transaction with every change of an item. The
job computes the same sum. Whenever both have finished, they must agree.
"""

from __future__ import annotations

import random
from typing import Any

import anyio
import pytest
from support.field import Field, eventually
from support.steps import Steps

from pgbackfill.control.options import PacingOptions
from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.outcome import NotExactlyLocked
from pgbackfill.database.types import Connection
from pgbackfill.keyset.statement import Form

TABLES = """
CREATE TABLE totals (id int PRIMARY KEY, total int);
CREATE TABLE items (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total_id int NOT NULL, price int NOT NULL);
CREATE INDEX ON items (total_id);
INSERT INTO totals (id) SELECT generate_series(1, 900, 3);
INSERT INTO items (total_id, price) SELECT t.id, j FROM totals AS t, generate_series(1, 3) AS j;
"""
WRONG = """
SELECT count(*) FROM totals AS t
 WHERE t.total IS DISTINCT FROM (SELECT sum(price) FROM items AS i WHERE i.total_id = t.id)
"""
# Takes a while and reads items at its beginning, so that there is time to get in between.
SUM = (
    "(SELECT sum(i.price) FROM items i WHERE i.total_id = {0}) + (SELECT 0 * count(*) FROM generate_series({0}, 9000))"
)
JOBS: dict[str, dict[str, Any]] = {
    "locked range": {"set_clause": f"total = {SUM.format('t.id')}"},
    "joined": {
        "from_clause": f"LATERAL (SELECT {SUM.format('chunk.id')} AS price) AS s",
        "set_clause": "total = s.price",
    },
    "joined by where": {
        "set_clause": f"total = {SUM.format('t.id')}",
        "where_clause": "EXISTS (SELECT FROM items i WHERE i.total_id = t.id)",
    },
    "statement": {
        "operation": "statement",
        "statement": f"UPDATE totals AS t SET total = {SUM.format('chunk.id')} FROM chunk WHERE t.id = chunk.id",
    },
}


async def _write(connection: Connection, randomness: random.Random) -> None:
    """One transaction of the application: an item, and the total that goes with it."""
    id_ = randomness.randint(1, 900)
    async with connection.transaction():
        await connection.execute("INSERT INTO items (total_id, price) VALUES ($1, $2)", id_, randomness.randint(1, 9))
        await connection.execute(
            "INSERT INTO totals VALUES ($1, 0) ON CONFLICT (id) DO NOTHING", id_
        )  # two keys in three are born during the job
        await connection.execute("SELECT FROM totals WHERE id = $1 FOR UPDATE", id_)
        await connection.execute(
            "UPDATE totals SET total = (SELECT sum(price) FROM items WHERE total_id = $1) WHERE id = $1", id_
        )


@pytest.mark.parametrize("kind", JOBS)
async def test_a_stale_value_never_overwrites_a_newer_one(database: Any, kind: str) -> None:
    field = await Field.open(database, TABLES)
    await field.enqueue(table_name="totals", options={"chunk_max_rows": 60, "lock_timeout_ms": 1000}, **JOBS[kind])
    done = anyio.Event()

    async def application(seed: int) -> None:
        connection, randomness = await database.connect(), random.Random(seed)
        while not done.is_set():
            await _write(connection, randomness)

    async with anyio.create_task_group() as tasks:
        for seed in range(3):
            tasks.start_soon(application, seed)
        await eventually(lambda: field.value("SELECT count(*) > 400 FROM totals"))
        assert await field.drain(chunk_max_rows=60) == 0, await field.error()
        done.set()
    await field.succeeded()
    assert await field.value("SELECT count(*) FROM pgbackfill.quarantine") == 0
    assert await field.value(WRONG) == 0


class Interrupted(ChunkTransaction):
    """A chunk in which something happens after the lock and before the change."""

    meanwhile: Any = None

    async def _measured(self, *arguments: Any, **options: Any) -> Any:
        if self.meanwhile is not None:
            await self.meanwhile()
        return await super()._measured(*arguments, **options)


async def test_a_row_born_between_lock_and_change_is_not_changed_unlocked(database: Any) -> None:
    field = await Field.open(database, TABLES)
    steps = await Steps.begin(field, table_name="totals", **JOBS["locked range"])
    old = steps.chunk
    chunk = Interrupted(steps.connection, steps.job, steps.claim, old.change, old.form, lease_s=30)
    other = await database.connect()

    async def be_born() -> None:
        await other.execute("INSERT INTO items (total_id, price) VALUES (2, 5); INSERT INTO totals VALUES (2, 5)")

    chunk.meanwhile = be_born
    with pytest.raises(NotExactlyLocked):
        await chunk.run(10, PacingOptions(), sleep_s=0.0, rows_per_second=None)
    assert await field.rows("SELECT id, total FROM totals WHERE total IS NOT NULL") == [(2, 5)]
    chunk.meanwhile, chunk.form = None, Form.JOINED
    done = await chunk.run(10, PacingOptions(), sleep_s=0.0, rows_per_second=None)
    assert (done.rows_scanned, done.rows_changed) == (10, 10)
    assert await field.value(WRONG) == 300 - 9


@pytest.mark.parametrize("kind", ["locked range", "joined"])
async def test_a_write_under_way_is_waited_for_and_then_read(database: Any, kind: str) -> None:
    """The application has written the item and the total, and commits while the chunk waits for the row."""
    field = await Field.open(database, TABLES)
    steps = await Steps.begin(field, table_name="totals", **JOBS[kind])
    other = await database.connect()
    async with anyio.create_task_group() as tasks, other.transaction():
        await other.execute(
            "UPDATE items SET price = 100 WHERE total_id = 4; UPDATE totals SET total = 300 WHERE id = 4"
        )
        tasks.start_soon(lambda: steps.run(10, lock_timeout_ms=20_000))
        await eventually(
            lambda: field.value(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
    assert await field.value("SELECT total FROM totals WHERE id = 4") == 300
    assert await field.value(WRONG) == 290
