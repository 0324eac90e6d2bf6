"""A walk is cut into ranges: every row is in exactly one, and they have about as many rows each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.field import Field
from support.shapes import SHAPES, create_table, insert_into, key_names
from support.steps import started

from pgbackfill.database import catalog, prepare
from pgbackfill.database.boundaries import sample
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Job
from pgbackfill.keyset import cuts
from pgbackfill.keyset.key import Arguments, KeyText, Lower, key_range

LARGEST = 3000
"""Row numbers; few enough that many tables are looked at in a short time."""

NUMBERS = {
    "dense": range(1, LARGEST),
    "with gaps": range(1, LARGEST, 7),
    "dense at first": [*range(1, 400), *range(400, LARGEST, 40)],
    "dense in the end": [*range(1, 2600, 40), *range(2600, LARGEST)],
}


class Ground:
    """Small tables, treated as large ones are: a sample of a few blocks, ranges of few rows."""

    def __init__(self, field: Field, work: Connection) -> None:
        self.field = field
        self.work = work

    async def fill(self, shape: str, rows: Iterable[int]) -> None:
        await self.field.execute(f'DELETE FROM pgbackfill.jobs; TRUNCATE "{shape}"')
        await self.insert(shape, rows)
        await self.field.execute(f'ANALYZE "{shape}"')

    async def insert(self, shape: str, rows: Iterable[int]) -> None:
        await self.field.execute(f"{insert_into(shape)} FROM unnest($1::int[]) AS i ON CONFLICT DO NOTHING", list(rows))

    async def key(self, shape: str, share: float) -> list[str]:
        """The key that has this share of the rows before it."""
        keys = ", ".join(f"{name}::text" for name in key_names(shape).split(", "))
        return list(
            await self.field.value(
                f'SELECT ARRAY[{keys}] FROM "{shape}" ORDER BY {key_names(shape)}'
                f' LIMIT 1 OFFSET (SELECT floor(count(*) * $1::float8)::int FROM "{shape}")',
                share,
            )
        )

    async def rows_between(self, job: Job, lower: Lower | None, upper: KeyText | None) -> list[int]:
        change = await catalog.describe_change(self.field.connection, job, job.relation)
        assert change is not None
        arguments = Arguments()
        where = key_range(change.key, lower, upper, arguments)
        async with catalog.rolled_back(self.field.connection, job):
            rows = await self.field.rows(f"SELECT i FROM {change.relation} AS t WHERE {where}", *arguments.values)
        return [i for (i,) in rows]

    async def ranges(self, job: Job) -> list[list[int]]:
        """The rows that each range holds now, by number."""
        bounds = await self.field.rows(
            "SELECT lower_key, lower_inclusive, upper_key FROM pgbackfill.ranges ORDER BY ordinal"
        )
        return [
            await self.rows_between(job, Lower(tuple(lower), inclusive) if lower else None, tuple(upper))
            for lower, inclusive, upper in bounds
        ]


@pytest.fixture
async def ground(database: Any, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setattr(cuts, "RANGE_MIN_ROWS", 10)
    monkeypatch.setattr(cuts, "BLOCKS_PER_RANGE", 1)
    field = await Field.open(database)
    for shape in SHAPES:
        await field.execute(create_table(shape))
        await field.execute(f'ALTER TABLE "{shape}" SET (fillfactor = 10, autovacuum_enabled = off)')
    return Ground(field, await database.connect())


@pytest.mark.newest
@settings(
    max_examples=150,
    derandomize=True,  # a failure is met again
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    shape=st.sampled_from(list(SHAPES)),
    numbers=st.sampled_from(list(NUMBERS)),
    size=st.floats(0.01, 1),
    begin=st.none() | st.floats(0, 0.9),
    end=st.none() | st.floats(0.1, 0.99),
    prefix=st.booleans(),
    parallelism=st.integers(2, 12),
    blocks=st.sampled_from([1, 10, 10_000]),
    later=st.sets(st.integers(0, LARGEST), max_size=50),
)
async def test_every_row_is_in_exactly_one_range(
    ground: Ground,
    shape: str,
    numbers: str,
    size: float,
    begin: float | None,
    end: float | None,
    prefix: bool,
    parallelism: int,
    blocks: int,
    later: set[int],
) -> None:
    rows = list(NUMBERS[numbers])
    await ground.fill(shape, rows[: max(1, int(size * len(rows)))])
    bounds = {
        name: (await ground.key(shape, share))[: 1 if prefix else None]
        for name, share in (("from_key", begin), ("to_key", end))
        if share is not None and (end is None or begin is None or begin < end)
    }
    job = await started(ground.field, table_name=f'"{shape}"', **bounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "BLOCKS_LEAST", blocks)
        made = await prepare.prepare(ground.field.connection, ground.work, job, parallelism=parallelism)
    walked = await ground.rows_between(job, Lower(job.from_key, True) if job.from_key else None, job.to_key)
    found = await ground.ranges(job)
    assert len(found) == made
    assert sorted(i for held in found for i in held) == sorted(walked)
    if blocks == 10_000:
        assert made == max(1, min(4 * parallelism, len(walked) // 10))
        even = len(walked) / made
        assert all(abs(len(held) - even) < 2 + len(walked) / 1000 for held in found), [len(held) for held in found]

    # Whatever is born afterwards is in one range, or in none where it is outside of the walk.
    await ground.insert(shape, later)
    young = [i for held in await ground.ranges(job) for i in held]
    assert len(young) == len(set(young))
    (last,) = (await ground.field.rows("SELECT upper_key FROM pgbackfill.ranges ORDER BY ordinal DESC LIMIT 1"))[0]
    assert sorted(young) == sorted(
        await ground.rows_between(job, Lower(job.from_key, True) if job.from_key else None, tuple(last))
    )


MANY = 200_000
"""Some 2,300 blocks: more than a sample reads, few enough to be filled within a second."""

LARGE = {
    "in heap order": ("k bigint PRIMARY KEY", "i::bigint * i"),
    "in no order": ("k uuid PRIMARY KEY", "md5(i::text)::uuid"),
    "words": ('k text COLLATE "C" PRIMARY KEY', "md5(i::text)"),
    "few large tenants": ("k int, l bigint, PRIMARY KEY (k, l)", "CASE WHEN i % 10 < 8 THEN 1 ELSE i % 97 END, i"),
}


async def _large(database: Any, kind: str) -> Field:
    columns, expression = LARGE[kind]
    names = "k, l" if "l bigint" in columns else "k"
    return await Field.open(
        database,
        f"CREATE TABLE big (n int NOT NULL DEFAULT 0, f text DEFAULT repeat('x', 40), {columns})",
        f"INSERT INTO big ({names}) SELECT {expression} FROM generate_series(1, {MANY}) AS i",
        "VACUUM ANALYZE big",
    )


@pytest.mark.newest
@pytest.mark.parametrize("kind", list(LARGE))
async def test_a_large_table_is_sampled_and_cut_evenly(database: Any, kind: str) -> None:
    field = await _large(database, kind)
    job = await started(field, table_name="big")
    assert await prepare.prepare(field.connection, await database.connect(), job, parallelism=2) == 8
    change = await catalog.describe_change(field.connection, job, job.relation)
    assert change is not None
    (last,) = (await field.rows("SELECT upper_key FROM pgbackfill.ranges ORDER BY ordinal DESC LIMIT 1"))[0]
    async with catalog.rolled_back(field.connection, job):
        found = await sample(field.connection, change, job.relation, None, tuple(last), 8)
    assert found.seen < 0.6 * MANY
    assert 0.8 * MANY < found.rows < 1.25 * MANY
    assert await field.drain(chunk_max_rows=50_000) == 0, await field.error()
    assert await field.rows("SELECT n, count(*) FROM big GROUP BY 1") == [(1, MANY)]
    counts = [count for (count,) in await field.rows("SELECT rows_scanned FROM pgbackfill.ranges")]
    # A bound is off by 1.6 % of all rows at one standard deviation; a range, of 12.5 %, has two.
    assert max(counts) < 2 * MANY / 8, counts
    assert min(counts) > 0.4 * MANY / 8, counts


@pytest.mark.newest
async def test_a_small_part_of_a_large_table_is_cut_evenly_as_well(database: Any) -> None:
    field = await _large(database, "few large tenants")
    rows = await field.value("SELECT count(*) FROM big WHERE k = 5 OR k = 6")
    assert 500 < rows < MANY / 200
    job = await started(field, table_name="big", from_key=["5"], to_key=["6"])
    made = await prepare.prepare(field.connection, await database.connect(), job, parallelism=4)
    assert made == min(16, rows // cuts.RANGE_MIN_ROWS)
    estimates = [count for (count,) in await field.rows("SELECT rows_estimated FROM pgbackfill.ranges")]
    assert abs(sum(estimates) - rows) <= made
    assert max(estimates) - min(estimates) <= 2


PARTS = """
CREATE TABLE parts (id int, day int, n int NOT NULL DEFAULT 0, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (1) TO (2);
CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (2) TO (3);
CREATE TABLE parts_4 PARTITION OF parts FOR VALUES FROM (3) TO (4);
INSERT INTO parts SELECT i, 1 FROM generate_series(1, 30) AS i;
INSERT INTO parts SELECT i, 2 FROM generate_series(1, 8000) AS i;
INSERT INTO parts SELECT i, 3 FROM generate_series(1, 8000) AS i;
ANALYZE parts;
"""


async def test_leaves_are_cut_by_their_rows(database: Any) -> None:
    field = await Field.open(database, PARTS)
    await field.backfill(table_name="parts", options={"parallelism": 2, "chunk_max_rows": 1000})
    assert await field.rows("SELECT n, count(*) FROM parts GROUP BY 1") == [(1, 16_030)]
    assert await field.rows(
        "SELECT relation::regclass::text, count(*), sum(rows_scanned), status FROM pgbackfill.ranges"
        " GROUP BY 1, 4 ORDER BY 1"
    ) == [
        ("parts_1", 1, 0, "done"),
        ("parts_2", 1, 30, "done"),
        ("parts_3", 4, 8000, "done"),
        ("parts_4", 4, 8000, "done"),
    ]


async def test_a_lane_keeps_its_connection_from_range_to_range(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, pid int)",
        "INSERT INTO t1 SELECT generate_series(1, 8000)",
    )
    await field.backfill(
        table_name="t1",
        set_clause="n = n + 1, pid = pg_backend_pid()",
        options={"parallelism": 2, "chunk_max_rows": 100},
    )
    assert await field.rows("SELECT n, count(*) FROM t1 GROUP BY 1") == [(1, 8000)]
    assert await field.value("SELECT count(*) FROM pgbackfill.ranges") == 8
    assert await field.value("SELECT count(DISTINCT pid) FROM t1") == 2


async def test_few_rows_and_one_lane_make_one_range(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE few (id int PRIMARY KEY, n int)",
        "INSERT INTO few SELECT generate_series(1, 100)",
        "CREATE TABLE many (id int PRIMARY KEY, n int)",
        "INSERT INTO many SELECT generate_series(1, 4000)",
    )
    few = await started(field, name="few", table_name="few", options={"parallelism": 8})
    assert await prepare.prepare(field.connection, await database.connect(), few, parallelism=8) == 1
    many = await started(field, name="many", table_name="many")
    assert await prepare.prepare(field.connection, await database.connect(), many) == 1
