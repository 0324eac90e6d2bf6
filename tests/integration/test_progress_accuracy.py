"""The percentage against the truth, where the planner's statistics are right, missing, stale or of no use.

`pytest -s -k accuracy` prints the table. The sample is a random one, so the bound is four standard deviations of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from .support.field import Field
from .support.steps import Steps

pytestmark = pytest.mark.newest

ROWS = 60_000
MARKS = (10, 25, 50, 75, 90)
POINTS_OFF = 7.0
"""A sample of a third: one standard deviation is 1.6 points at worst, and a chunk is half a point."""

FILL = "repeat('x', 150)"
TABLE = f"CREATE TABLE t (k {{kind}}, n int NOT NULL DEFAULT 0, fill text DEFAULT {FILL}, PRIMARY KEY ({{key}}))"
NO_STATISTICS = "ALTER TABLE t SET (autovacuum_enabled = false)"


def table(rows: str, *after: str, kind: str = "bigint", key: str = "k") -> tuple[str, ...]:
    columns = "k" if key == "k" else "k, l"
    return (
        TABLE.format(kind=kind, key=key),
        NO_STATISTICS,
        f"INSERT INTO t ({columns}) SELECT {rows} FROM generate_series(1, {ROWS}) AS i",
        *after,
    )


SHAPES: dict[str, tuple[str, ...]] = {
    "fresh statistics": table("i", "ANALYZE t"),
    "never analyzed": table("i"),
    "tripled since ANALYZE": table(
        "i", "ANALYZE t", f"INSERT INTO t (k) SELECT i FROM generate_series({ROWS} + 1, {3 * ROWS}) AS i"
    ),
    "lower half deleted": table("i", "ANALYZE t", f"DELETE FROM t WHERE k <= {ROWS} / 2"),
    "every second row deleted": table("i", "ANALYZE t", "DELETE FROM t WHERE k % 2 = 0"),
    "keys with gaps": table("i + 1000000 * (i / 1000)::bigint"),
    "skewed keys": table("(i::numeric ^ 3)::bigint"),
    "uuid": table("md5(i::text)::uuid", kind="uuid"),
    "composite": table("i % 7, i", kind="int, l int", key="k, l"),
    "one tenant of seven": table("i % 7, i", kind="int, l int", key="k, l"),
    "from_key, to_key": table("i"),
    "partitioned": (
        "CREATE TABLE t (k bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, fill text) PARTITION BY RANGE (k)",
        f"CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO ({ROWS // 10})",
        f"CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ({ROWS // 10}) TO ({ROWS})",
        f"CREATE TABLE t3 PARTITION OF t FOR VALUES FROM ({ROWS}) TO ({2 * ROWS})",
        f"INSERT INTO t (k, fill) SELECT i, {FILL} FROM generate_series(1, {ROWS}) AS i",
    ),
}
BOUNDS: dict[str, dict[str, Any]] = {
    "one tenant of seven": {"from_key": ["3"], "to_key": ["3"]},
    "from_key, to_key": {"from_key": [str(ROWS // 5)], "to_key": [str(ROWS // 2)]},
}
CONDITIONS = {
    "one tenant of seven": "k = 3",
    "from_key, to_key": f"k BETWEEN {ROWS // 5} AND {ROWS // 2}",
}


async def shown(field: Field) -> float:
    percent: float = (await field.progress())["percent"]
    return percent


async def walk(field: Field, steps: Steps, total: int, between: Any = None) -> dict[int, float]:
    """Walks every range; what was shown beyond each mark, less the truth at that moment, in points."""
    off: dict[int, float] = {}
    last = scanned = 0.0
    while True:
        result = await steps.run(max(1, total // 200))
        scanned += result.rows_scanned
        if between is not None and scanned >= total / 3:
            total, between = await between(int(scanned)), None
        percent = await shown(field)
        assert last <= percent < 100
        last = percent
        truth = 100 * scanned / total
        for mark in MARKS:
            if truth >= mark and mark not in off:
                off[mark] = percent - truth
        if result.finished:
            if not await field.value("SELECT EXISTS (SELECT FROM pgbackfill.ranges WHERE status = 'open')"):
                assert scanned == total
                return off
            steps = await Steps.take(field, steps.job, steps.connection)


@pytest.mark.parametrize("shape", list(SHAPES))
async def test_progress_accuracy(database: Any, shape: str) -> None:
    field = await Field.open(database, *SHAPES[shape])
    steps = await Steps.begin(field, table_name="t", where_clause="n < 0", **BOUNDS.get(shape, {}))
    total = await field.value(f"SELECT count(*) FROM t WHERE {CONDITIONS.get(shape, 'true')}")
    off = await walk(field, steps, total)
    print(f"\n| {shape} | " + " | ".join(f"{off[mark]:+.1f}" for mark in MARKS) + " |")
    assert off.keys() == set(MARKS)
    assert max(abs(points) for points in off.values()) <= POINTS_OFF


async def test_progress_accuracy_where_rows_vanish_meanwhile(database: Any) -> None:
    """The cursor's position sets it right again: the nearer the end, the less the lost rows matter."""
    field = await Field.open(database, *table("i"))
    steps = await Steps.begin(field, table_name="t", where_clause="n < 0")

    async def lose_half(scanned: int) -> int:
        await field.execute("DELETE FROM t WHERE k > $1 AND k % 2 = 0", scanned + ROWS // 100)
        return scanned + await field.value("SELECT count(*) FROM t WHERE k > $1", scanned)

    off = await walk(field, steps, ROWS, lose_half)
    print("\n| half vanishes at a third | " + " | ".join(f"{off[mark]:+.1f}" for mark in MARKS) + " |")
    assert abs(off[90]) <= abs(off[50])
    assert abs(off[90]) <= 14
    assert max(abs(points) for points in off.values()) <= 22
