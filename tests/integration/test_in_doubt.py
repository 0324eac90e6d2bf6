"""A COMMIT of which nobody knows whether it happened: `n = n + 1` happens once to every row all the same."""

from __future__ import annotations

from typing import Any

import pytest
from support.field import Field, eventually
from support.swallow import Swallow

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "INSERT INTO t1 SELECT generate_series(1, 200)",
)


@pytest.mark.newest
@pytest.mark.parametrize("answers", [True, False], ids=["answer lost", "request lost"])
async def test_a_commit_in_doubt_happens_once(database: Any, answers: bool) -> None:
    field = await Field.open(database, *TABLE)
    swallow = Swallow(database.dsn, every=3, answers=answers)
    async with swallow.running() as work_dsn:
        await field.enqueue(table_name="t1")
        async with field.daemon(work_dsn=work_dsn, chunk_max_rows=20):
            await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert swallow.lost >= 3
    assert await field.rows("SELECT n, count(*) FROM t1 GROUP BY 1") == [(1, 200)]
    done = await field.progress()
    assert (done["rows_scanned"], done["rows_changed"]) == (200, 200)


@pytest.mark.newest
async def test_a_quarantined_row_in_doubt_is_run_again_once(database: Any) -> None:
    field = await Field.open(database, *TABLE, "ALTER TABLE t1 ADD divisor int NOT NULL DEFAULT 0")
    await field.enqueue(table_name="t1", set_clause="n = n + 1 / divisor", to_key=["9"])
    assert await field.drain() == 0
    await field.execute("UPDATE t1 SET divisor = 1")
    assert await field.value("SELECT pgbackfill.retry_quarantined('job')") == 9
    swallow = Swallow(database.dsn, every=2, answers=True)
    async with swallow.running() as work_dsn, field.daemon(work_dsn=work_dsn):
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert swallow.lost >= 3
    assert await field.rows("SELECT n, count(*) FROM t1 WHERE id <= 9 GROUP BY 1") == [(1, 9)]
    assert (await field.progress())["rows_quarantined"] == 0
