"""Malformed inserts, each refused with a sentence that names the column: nothing is executed, and the daemon that runs
meanwhile takes no notice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.field import Field, eventually
from support.malformed import DDL, MALFORMED

BESIDE = (
    "CREATE TABLE beside (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "INSERT INTO beside SELECT generate_series(1, 500)",
)
HEARTBEAT = "SELECT max(heartbeat_at) FROM pgbackfill.workers"


@pytest.mark.parametrize("group", MALFORMED)
async def test_a_malformed_insert_is_refused_and_nothing_happens(shop: Any, group: str) -> None:
    await shop.connection.execute(DDL.get(group, "SELECT"))
    field = Field(shop.database, shop.connection)
    for ddl in BESIDE:
        await field.execute(ddl)
    await field.enqueue(name="beside", table_name="beside", options={"max_rows_per_s": 30})
    async with field.daemon(heartbeat_s=0.1):
        await eventually(lambda: field.value("SELECT count(*) > 0 FROM beside WHERE n = 1"))
        for row, column, fragment in MALFORMED[group]:
            if group.endswith("_clause") and "operation" not in row:
                row = {"set_clause": "n = 1"} | row
            error = await shop.refusal(**row)
            assert error.column_name == column, f"{row}: {error.message}"
            assert fragment in error.message, f"{row}: {error.message}"
        beat = await field.value(HEARTBEAT)
        await eventually(lambda: field.value(f"SELECT ({HEARTBEAT}) > $1", beat))
        await field.execute("UPDATE pgbackfill.jobs SET options = '{}'")
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.jobs"))
    assert await field.rows("SELECT n, count(*) FROM beside GROUP BY n") == [(1, 500)]
    await field.execute("DELETE FROM pgbackfill.jobs WHERE name = 'beside'")
    assert await shop.untouched()


def test_there_are_enough_of_them_and_no_two_alike() -> None:
    rows = [json.dumps(row, sort_keys=True) for rows in MALFORMED.values() for row, _, _ in rows]
    assert len(rows) == len(set(rows)) >= 60
