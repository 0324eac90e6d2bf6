"""The promise, on random tables under random traffic.

Every row that was committed before the upper bound was read, and that still has its key, is changed exactly once, even
by `n = n + 1`. Rows born later, keys that were deleted and inserted again among them, are changed at most once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.field import Field
from support.shapes import SHAPES, create_table, insert_into, key_names
from support.steps import may_begin, started, taken

from pgbackfill.control.options import PacingOptions
from pgbackfill.database import prepare
from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Job
from pgbackfill.keyset import cuts
from pgbackfill.keyset.explain import ChangeReport
from pgbackfill.keyset.statement import Form

JOBS: dict[Form, dict[str, Any]] = {
    Form.RANGE: {"set_clause": "n = n + 1"},
    Form.LOCKED_RANGE: {"set_clause": "n = n + (SELECT step FROM one)"},
    Form.JOINED: {"set_clause": "n = t.n + one.step", "from_clause": "one"},
}
LARGEST = 60
"""Few enough keys that traffic meets rows that are there, were there, and are next to the cursor."""

Traffic = list[tuple[str, int]]


@dataclass(frozen=True)
class Step:
    """One chunk, with traffic before it and after its boundary was found; a worker may be lost on either side of
    COMMIT."""

    rows: int
    before: Traffic = field(default_factory=list)
    inside: Traffic = field(default_factory=list)
    killed: Literal["before COMMIT", "after COMMIT"] | None = None


@dataclass
class Expected:
    """`owed` rows are to be changed exactly once, `young` ones at most once."""

    owed: set[int]
    young: set[int] = field(default_factory=set)

    def apply(self, operation: str, i: int) -> None:
        there = i in self.owed | self.young
        if operation in ("delete", "again"):
            self.owed.discard(i)
            self.young.discard(i)
        if operation == "again" or (operation == "insert" and not there):
            self.young.add(i)


numbers = st.integers(0, LARGEST)
traffic = st.lists(st.tuples(st.sampled_from(["insert", "delete", "again", "rewrite"]), numbers), max_size=4)
steps = st.builds(
    Step,
    rows=st.integers(1, 25),
    before=traffic,
    inside=traffic,
    killed=st.sampled_from([None] * 8 + ["before COMMIT", "after COMMIT"]),
)


@dataclass
class Ground:
    """One database for all cases: a table for each shape, a connection for traffic and one for chunks."""

    field: Field
    traffic: Connection
    worker: Connection

    async def reset(self, shape: str, rows: Iterable[int]) -> None:
        await self.field.execute(f'DELETE FROM pgbackfill.jobs; TRUNCATE "{shape}"')
        await self.field.execute(f"{insert_into(shape)} FROM unnest($1::int[]) AS i", list(rows))

    async def happen(self, shape: str, traffic: Traffic, expected: Expected) -> None:
        """What an application does, each in a transaction of its own."""
        same = f"({key_names(shape)}) = (SELECT {SHAPES[shape][1]} FROM (SELECT $1::int) AS v (i))"
        for operation, i in traffic:
            if operation in ("delete", "again"):
                await self.traffic.execute(f'DELETE FROM "{shape}" AS t WHERE {same}', i)
            if operation in ("insert", "again"):
                await self.traffic.execute(
                    f"{insert_into(shape)} FROM (SELECT $1::int) AS v (i) ON CONFLICT DO NOTHING", i
                )
            if operation == "rewrite":
                await self.traffic.execute(f"UPDATE \"{shape}\" SET note = note || 'x' WHERE {same}", i)
            expected.apply(operation, i)


@pytest.fixture
async def ground(database: Any, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setattr(cuts, "RANGE_MIN_ROWS", 4)
    field = await Field.open(database, "CREATE TABLE one AS SELECT 1 AS step")
    for shape in SHAPES:
        await field.execute(create_table(shape))
    return Ground(field, await database.connect(), await database.connect())


@pytest.mark.newest
@settings(
    max_examples=500,
    derandomize=True,  # a failure is met again
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    shape=st.sampled_from(list(SHAPES)),
    form=st.sampled_from(list(JOBS)),
    rows=st.sets(numbers),
    parallelism=st.sampled_from([1, 3]),
    early=traffic,
    course=st.lists(steps, max_size=8),
)
async def test_the_promise_holds_to_the_letter(
    ground: Ground, shape: str, form: Form, rows: set[int], parallelism: int, early: Traffic, course: list[Step]
) -> None:
    await ground.reset(shape, rows)
    expected = Expected(set(rows))
    job = await started(ground.field, table_name=f'"{shape}"', **JOBS[form])
    await ground.happen(shape, early, expected)
    expected = Expected(expected.owed | expected.young)  # later than the start, earlier than the bound
    await may_begin(ground.field, job)
    assert await prepare.prepare(ground.field.connection, ground.worker, job, parallelism=parallelism)
    await _walk(ground, job, shape, form, expected, course)

    changes = dict(await ground.field.rows(f'SELECT i, n FROM "{shape}"'))  # type: ignore[arg-type]
    assert changes.keys() == expected.owed | expected.young
    assert {i: changes[i] for i in expected.owed if changes[i] != 1} == {}
    assert {i: changes[i] for i in expected.young if changes[i] > 1} == {}


class Disturbed(ChunkTransaction):
    """A chunk during which something happens."""

    meanwhile: Callable[[], Awaitable[None]]
    killed: str | None = None

    async def _apply(self, *arguments: Any) -> ChangeReport | None:
        await self.meanwhile()
        return await super()._apply(*arguments)

    async def _end(self, call: str, *values: Any, **keywords: Any) -> None:
        if self.killed != "before COMMIT":
            await super()._end(call, *values, **keywords)
        if self.killed is not None:
            raise asyncpg.InterfaceError("the worker was killed")


async def _walk(ground: Ground, job: Job, shape: str, form: Form, expected: Expected, course: list[Step]) -> None:
    remaining = iter(course)
    chunk: Disturbed | None = None
    while await ground.field.value("SELECT EXISTS (SELECT FROM pgbackfill.ranges WHERE status = 'open')"):
        step = next(remaining, Step(rows=10))
        await ground.happen(shape, step.before, expected)
        if chunk is None:
            chunk = await taken(ground.field, job, ground.worker, kind=Disturbed)
            assert chunk.form is form
        chunk.meanwhile = partial(ground.happen, shape, step.inside, expected)
        chunk.killed = step.killed
        if step.killed is None:
            result = await chunk.run(step.rows, PacingOptions(), sleep_s=0.0, rows_per_second=None)
            chunk = None if result.finished else chunk
            continue
        with pytest.raises(asyncpg.InterfaceError):
            await chunk.run(step.rows, PacingOptions(), sleep_s=0.0, rows_per_second=None)
        chunk = None
        await ground.field.execute("UPDATE pgbackfill.ranges SET lease_until = NULL")
