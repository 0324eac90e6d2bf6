"""The tables that exist twice, in Python and in SQL, are the same."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, Literal, get_args, get_origin

import asyncpg
import pytest
from annotated_types import Ge, Gt, Le
from pydantic import ValidationError
from support.field import Field

from pgbackfill.control.options import PacingOptions
from pgbackfill.jobs.states import TRANSITIONS, Status


async def test_options_have_the_same_ranges_units_and_defaults(shop: Any) -> None:
    rows = {row["name"]: row for row in await shop.connection.fetch("SELECT * FROM pgbackfill.option_ranges()")}
    assert rows.keys() == PacingOptions.model_fields.keys()
    for name, field in PacingOptions.model_fields.items():
        row = rows[name]
        assert json.loads(row["default_value"]) == field.default, name
        if get_origin(field.annotation) is Literal:
            assert (row["kind"], row["choices"]) == ("text", list(get_args(field.annotation))), name
            continue
        limits = {type(part): part for part in field.metadata if isinstance(part, Ge | Gt | Le)}
        if row["above"]:
            assert limits[Gt] == Gt(row["minimum"]), name
        else:
            assert limits[Ge] == Ge(row["minimum"]), name
        assert limits[Le] == Le(row["maximum"]), name
        assert row["unit"] == PacingOptions.model_json_schema()["properties"][name].get("unit", row["unit"]), name


# Values on both sides of every limit: SQL and Python must answer alike.
CASES: list[dict[str, Any]] = [
    {name: value}
    for name, values in {
        "chunk_target_ms": (0, 1, 60_000, 60_001, 1.5, -1, None),
        "chunk_min_rows": (0, 1, 50_000, 50_001),
        "chunk_max_wal_bytes": (8191, 8192, 1 << 40, (1 << 40) + 1),
        "lag_soft_s": (0, 0.001, 5, 5.001),
        "lag_hard_s": (0.999, 1, 86_400, 86_401),
        "latency_soft_ratio": (1, 1.001, 3, 3.5),
        "duty_max": (0, 0.001, 1, 1.01),
        "max_rows_per_s": (0, 1, None),
        "synchronous_commit": ("off", "OFF", "remote_apply", "", None),
        "throughput_floor_ratio": (-0.1, 0, 1, 1.01),
        "throughput_floor_s": (0, 0.001, 86_400, 86_401),
        "max_quarantined": (-1, 0, 1_000_000_000, 1_000_000_001),
        "parallelism": (0, 1, 64, 65, 1.5),
    }.items()
    for value in values
] + [{"lag_soft_s": 7, "lag_hard_s": 9}, {"chunk_min_rows": 5, "chunk_max_rows": 5}, {"none": 1}]


async def test_options_are_judged_alike(shop: Any) -> None:
    for options in CASES:
        call = shop.connection.execute("SELECT pgbackfill.check_options($1)", json.dumps(options))
        assert await _refused_column(call) == (None if _python_accepts(options) else "options"), options


async def _refused_column(call: Awaitable[object]) -> str | None:
    """The column that a refusal names; None where nothing was refused."""
    try:
        await call
    except asyncpg.InvalidParameterValueError as error:
        return error.column_name
    return None


def _python_accepts(options: dict[str, Any]) -> bool:
    try:
        PacingOptions.model_validate({name: value for name, value in options.items() if value is not None})
    except ValidationError:
        return False
    return True


async def test_a_job_moves_between_the_same_states(shop: Any) -> None:
    allowed = {(str(before), str(after)) for before, moves in TRANSITIONS.items() for after in moves.values()}
    in_sql = {tuple(row) for row in await shop.connection.fetch("SELECT * FROM pgbackfill.status_moves()")}
    assert in_sql == allowed
    for before in Status:
        for after in Status:
            if before == after:
                continue
            refused = await _refused_column(_move(shop, before, after))
            assert refused == (None if (before, after) in allowed else "status"), (before, after)


async def _move(shop: Any, before: str, after: str) -> None:
    """Move a job that is `before` to `after`."""
    connection = shop.connection
    await connection.execute("DELETE FROM pgbackfill.jobs")
    await shop.insert(set_clause="n = 1")
    # The only way into an arbitrary state is past the trigger.
    await connection.execute("ALTER TABLE pgbackfill.jobs DISABLE TRIGGER jobs_before_update")
    await connection.execute("UPDATE pgbackfill.jobs SET status = $1", str(before))
    await connection.execute("ALTER TABLE pgbackfill.jobs ENABLE TRIGGER jobs_before_update")
    await connection.execute("UPDATE pgbackfill.jobs SET status = $1", str(after))


@pytest.mark.newest
async def test_a_job_that_contradicts_the_settings_of_its_daemon_is_run_within_their_limits(database: Any) -> None:
    """The check at INSERT compares with the defaults; what a daemon was told it cannot know."""
    field = await Field.open(database, "CREATE TABLE t1 (id int PRIMARY KEY, n int DEFAULT 0)")
    await field.execute("INSERT INTO t1 SELECT generate_series(1, 20)")
    await field.enqueue(table_name="t1", options={"lag_soft_s": 4, "chunk_min_rows": 1000})
    assert await field.drain(lag_hard_s=3, chunk_max_rows=7) == 0, await field.error()
    assert await field.value("SELECT max(chunk_rows) FROM pgbackfill.ranges") <= 7
