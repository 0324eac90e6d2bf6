"""The promise for handler jobs, under random traffic while values are computed and with workers that die.

Every row that was committed before the upper bound was read, and that still has its key, is counted up exactly once;
and no write of anybody else is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.field import Field
from support.shapes import SHAPES, create_table, insert_into, key_names
from support.steps import LEASE_S, claimed, may_begin, started

from pgbackfill.control.options import PacingOptions
from pgbackfill.database import prepare
from pgbackfill.database.handler_chunk import HandlerChunk
from pgbackfill.database.handler_work import Work, columns_of
from pgbackfill.database.types import Connection
from pgbackfill.handlers import Call, Handler, Row
from pgbackfill.jobs.job import Job
from pgbackfill.worker.walk import open_walk

USED = ("int", "uuid", "text, int")
LARGEST = 40

Traffic = list[tuple[str, int]]


@dataclass(frozen=True)
class Step:
    """One chunk, with traffic while its values are computed; its worker may be lost on either side of COMMIT."""

    rows: int
    batch_rows: int = 1
    traffic: Traffic = field(default_factory=list)
    killed: Literal["before COMMIT", "after COMMIT"] | None = None


numbers = st.integers(0, LARGEST)
traffic = st.lists(st.tuples(st.sampled_from(["insert", "delete", "rewrite", "rewrite"]), numbers), max_size=4)
steps = st.builds(
    Step,
    rows=st.integers(1, 15),
    batch_rows=st.integers(1, 4),
    traffic=traffic,
    killed=st.sampled_from([None] * 6 + ["before COMMIT", "after COMMIT"]),
)


@dataclass
class Table:
    """One table and what everybody but the job has done to it: by row number, what was written into `note`."""

    shape: str
    connection: Connection
    notes: dict[int, str] = field(default_factory=dict)
    owed: set[int] = field(default_factory=set)

    async def happen(self, traffic: Traffic) -> None:
        same = f"({key_names(self.shape)}) = (SELECT {SHAPES[self.shape][1]} FROM (SELECT $1::int) AS v (i))"
        for operation, i in traffic:
            if operation == "insert" and i not in self.notes:
                await self.connection.execute(f"{insert_into(self.shape)} FROM (SELECT $1::int) AS v (i)", i)
                self.notes[i] = ""
            elif operation == "delete":
                await self.connection.execute(f'DELETE FROM "{self.shape}" AS t WHERE {same}', i)
                self.notes.pop(i, None)
                self.owed.discard(i)
            elif operation == "rewrite" and i in self.notes:
                await self.connection.execute(f"UPDATE \"{self.shape}\" SET note = note || 'x' WHERE {same}", i)
                self.notes[i] += "x"


@pytest.fixture
async def ground(database: Any) -> Field:
    return await Field.open(database, *(create_table(shape) for shape in USED))


@pytest.mark.newest
@settings(
    max_examples=60,
    derandomize=True,  # a failure is met again
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    shape=st.sampled_from(USED),
    rows=st.sets(numbers, min_size=1),
    where=st.sampled_from([None, "i % 4 <> 1"]),
    course=st.lists(steps, max_size=8),
)
async def test_the_promise_holds_for_computed_values(
    ground: Field, shape: str, rows: set[int], where: str | None, course: list[Step]
) -> None:
    await ground.execute(f'DELETE FROM pgbackfill.jobs; TRUNCATE "{shape}"')
    table = Table(shape, ground.connection)
    await table.happen([("insert", i) for i in sorted(rows)])
    job = await started(
        ground, table_name=f'"{shape}"', operation="handler", handler="up", **({"where_clause": where} if where else {})
    )
    await may_begin(ground, job)
    worker = await ground.database.connect()
    assert await prepare.prepare(ground.connection, worker, job)
    table.owed = {i for i in rows if where is None or i % 4 != 1}
    try:
        await _walk(ground, job, table, worker, course)
    finally:
        await worker.close()

    found = {i: (n, note) for i, n, note in await ground.rows(f'SELECT i, n, note FROM "{shape}"')}
    assert {i: note for i, (_, note) in found.items()} == table.notes, "no write of others is lost"
    assert {i: found[i][0] for i in table.owed if found[i][0] != 1} == {}
    assert {i: n for i, (n, _) in found.items() if n > 1} == {}


class Killed(HandlerChunk):
    """A chunk whose worker may be lost."""

    killed: str | None = None

    async def _end(self, call: str, *values: Any, **keywords: Any) -> None:
        if self.killed != "before COMMIT":
            await super()._end(call, *values, **keywords)
        if self.killed is not None:
            raise asyncpg.InterfaceError("the worker was killed")


async def _walk(ground: Field, job: Job, table: Table, worker: Connection, course: list[Step]) -> None:
    remaining = iter(course)
    coming: Traffic = []

    async def up(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        meanwhile, coming[:] = list(coming), []
        await table.happen(meanwhile)
        return [{"n": row["n"] + 1} if row["i"] % 7 else {"n": row["n"] + 1, "i": row["i"]} for row in rows]

    chunk: Killed | None = None
    while await ground.value("SELECT EXISTS (SELECT FROM pgbackfill.ranges WHERE status = 'open')"):
        step = next(remaining, Step(rows=10))
        if chunk is None:
            claim = await claimed(ground, job)
            assert claim is not None
            walk = await open_walk(worker, job, claim)
            handler = Handler("up", up)
            work = Work(handler, await columns_of(worker, job, claim.relation, handler), lambda: False)
            chunk = Killed(worker, job, claim, walk.change, walk.form, lease_s=LEASE_S, work=work)
        coming[:], chunk.killed = step.traffic, step.killed
        options = PacingOptions(handler_batch_rows=step.batch_rows, handler_concurrency=1)
        if step.killed is None:
            result = await chunk.run(step.rows, options, sleep_s=0.0, rows_per_second=None)
            chunk = None if result.finished else chunk
            continue
        with pytest.raises(asyncpg.InterfaceError):
            await chunk.run(step.rows, options, sleep_s=0.0, rows_per_second=None)
        chunk = None
        await ground.execute("UPDATE pgbackfill.ranges SET lease_until = NULL")
