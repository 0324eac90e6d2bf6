"""Handler jobs: read without locks, computed outside any transaction, written where nothing has changed since."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import asyncpg
import pytest
from support.computing import computing, count_up
from support.field import Field, eventually

from pgbackfill.errors import UsageError
from pgbackfill.handlers import Call, Row, TryLater

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, note text)",
    "INSERT INTO t1 SELECT generate_series(1, 200)",
)
JOB: dict[str, Any] = {"table_name": "t1", "operation": "handler", "handler": "probe"}
HANDLERS: dict[str, Any] = {"handlers": ("support.computing",), "chunk_max_rows": 40}
COUNTS = "SELECT n, count(*) FROM t1 GROUP BY 1 ORDER BY 1"
QUARANTINE = "SELECT key[1]::int, sqlstate, message FROM pgbackfill.quarantine ORDER BY 1"


async def finished(field: Field, **job: Any) -> asyncpg.Record:
    """Enqueues a handler job and runs it to its end, which is success."""
    await field.enqueue(**(JOB | job))
    assert await field.drain(**HANDLERS) == 0, await field.error()
    return await field.succeeded()


@pytest.mark.parametrize("batch_rows", [1, 7])
async def test_every_row_gets_the_value_computed_for_it_once(database: Any, batch_rows: int) -> None:
    field = await Field.open(database, *TABLE)
    async with computing() as seen:
        done = await finished(field, params={"by": 3}, options={"handler_batch_rows": batch_rows})
    assert await field.rows(COUNTS) == [(3, 200)]
    assert (done["rows_scanned"], done["rows_changed"], done["percent"]) == (200, 200, 100)
    assert sorted(seen.ids) == list(range(1, 201))
    assert max(len(rows) for rows in seen.calls) == batch_rows


async def test_what_others_write_meanwhile_is_kept_and_only_those_rows_are_computed_again(database: Any) -> None:
    field = await Field.open(database, *TABLE, "UPDATE t1 SET note = 'x'")
    foreground = await database.connect()
    written: set[int] = set()

    async def disturbed(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        id_ = rows[0]["id"]
        if id_ % 10 == 0 and id_ not in written:
            written.add(id_)
            async with lock:
                # One changes the column that is computed, one another column, one both by way of a second row version.
                await foreground.execute("UPDATE t1 SET n = n + 100 WHERE id = $1 AND id % 20 = 0", id_)
                await foreground.execute("UPDATE t1 SET note = note || 'y' WHERE id = $1", id_)
        return await count_up(rows, params, call)

    lock = anyio.Lock()
    async with computing(disturbed) as seen:
        done = await finished(field)
    assert await field.rows(COUNTS) == [(1, 190), (101, 10)]
    assert await field.rows("SELECT note, count(*) FROM t1 GROUP BY 1 ORDER BY 1") == [("x", 180), ("xy", 20)]
    assert {id_: seen.times(id_) for id_ in range(1, 201)} == {i: 2 if i % 10 == 0 else 1 for i in range(1, 201)}
    assert (done["rows_scanned"], done["rows_changed"]) == (200, 200)


@pytest.mark.newest
async def test_no_concurrent_write_is_lost(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    writers = [await database.connect() for _ in range(3)]
    writes = 0

    async def slowly(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        await anyio.sleep(0.005)
        return await count_up(rows, params, call)

    async def write(connection: Any, first: int) -> None:
        nonlocal writes
        for step in range(10_000):
            id_ = (first + step * 7) % 200 + 1
            await connection.execute("UPDATE t1 SET n = n + 1000 WHERE id = $1", id_)
            writes += 1
            await anyio.sleep(0.001)

    async with computing(slowly), anyio.create_task_group() as traffic:
        for first, connection in enumerate(writers):
            traffic.start_soon(write, connection, first * 66)
        done = await finished(field, options={"handler_concurrency": 10})
        traffic.cancel_scope.cancel()
    assert done["rows_quarantined"] == 0
    with anyio.CancelScope(shield=True):
        total = await field.value("SELECT sum(n) FROM t1")
    assert total % 1000 == 200, "every row counted up once"
    assert writes <= total // 1000 <= writes + len(writers), "and every write of the others is there"


@pytest.mark.newest
@pytest.mark.parametrize("batch_rows", [1, 16])
async def test_an_exception_is_brought_down_to_its_row(database: Any, batch_rows: int) -> None:
    field = await Field.open(database, *TABLE)

    async def fails(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        if bad := [row["id"] for row in rows if row["id"] in (3, 77, 78, 200)]:
            raise ValueError(f"cannot place {bad[0]}")
        return await count_up(rows, params, call)

    async with computing(fails) as seen:
        done = await finished(field, where_clause="id <> 2", options={"handler_batch_rows": batch_rows})
        assert await field.rows(QUARANTINE) == [
            (id_, "PBH01", f"ValueError: cannot place {id_}") for id_ in (3, 77, 78, 200)
        ]
        assert (done["rows_scanned"], done["rows_changed"], done["rows_quarantined"]) == (200, 195, 4)
        assert await field.rows(COUNTS) == [(0, 5), (1, 195)]
        if batch_rows == 1:
            assert {seen.times(id_) for id_ in range(1, 201)} <= {0, 1, 2}, "good rows are not computed again"
    async with computing():
        await field.value("SELECT pgbackfill.retry_quarantined('job')")
        assert await field.drain(**HANDLERS) == 0, await field.error()
    assert await field.rows(COUNTS) == [(0, 1), (1, 199)]
    assert await field.rows(QUARANTINE) == []


@pytest.mark.newest
async def test_a_call_that_hangs_is_cancelled_and_its_row_set_aside(database: Any) -> None:
    field = await Field.open(database, *TABLE)

    async def hangs(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        assert call.timeout_s == 0.05
        if rows[0]["id"] == 5:
            await anyio.sleep_forever()
        return await count_up(rows, params, call)

    async with computing(hangs) as seen:
        done = await finished(field, options={"handler_timeout_s": 0.05})
    assert seen.times(5) == 1 + 3, "once in a chunk that ends before it, then three times alone"
    assert await field.rows(QUARANTINE) == [(5, "PBH02", "handler probe took longer than handler_timeout_s (0.05)")]
    assert (done["rows_scanned"], done["rows_changed"]) == (200, 199)


@pytest.mark.newest
async def test_a_row_that_others_never_leave_alone_is_set_aside(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    foreground = await database.connect()

    async def hot(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        if rows[0]["id"] == 9:
            await foreground.execute("UPDATE t1 SET n = n + 1 WHERE id = 9")
        return await count_up(rows, params, call)

    async with computing(hot) as seen:
        done = await finished(field)
        assert await field.value("SELECT n FROM t1 WHERE id = 9") == seen.times(9), "none of these writes was lost"
    ((id_, sqlstate, message),) = await field.rows(QUARANTINE)
    assert (id_, sqlstate) == (9, "PBH03")
    assert "was changed by others" in message
    assert (done["rows_scanned"], done["rows_changed"]) == (200, 199)


@pytest.mark.newest
async def test_what_cannot_work_yet_is_held_and_tried_again(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    up = False

    async def down(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        if not up and rows[0]["id"] > 50:
            raise TryLater("the geocoder answers 503")
        return await count_up(rows, params, call)

    await field.enqueue(**JOB)
    async with computing(down), field.daemon(**HANDLERS):
        await eventually(
            lambda: field.value(
                "SELECT hold_reason = 'handler_unavailable the geocoder answers 503' FROM pgbackfill.progress"
            )
        )
        assert await field.rows(COUNTS) == [(0, 150), (1, 50)]
        up = True
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.progress"))
    assert await field.rows(COUNTS) == [(1, 200)]
    assert await field.rows(QUARANTINE) == []


@pytest.mark.newest
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([{"id": 1}], "must not set id: it belongs to the key"),
        ([{"twice": 1}], "must not set twice: it is generated"),
        ([{"m": 1}], "returned 'm', which is no column of the table"),
        ([], "must return a list with a mapping or None for each of its 1 rows, not 0 of them"),
        ({"n": 1}, "must return a list with a mapping or None for each of its 1 rows, not dict"),
        ([7], "must return a mapping of columns to values or None for a row, not int"),
    ],
)
async def test_an_answer_of_no_use_fails_the_job(database: Any, answer: Any, error: str) -> None:
    field = await Field.open(database, *TABLE, "ALTER TABLE t1 ADD twice int GENERATED ALWAYS AS (n * 2) STORED")

    async def wrong(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        return answer

    await field.enqueue(**JOB)
    async with computing(wrong):
        assert await field.drain(**HANDLERS) == 1
    assert error in str(await field.error())
    assert await field.rows(COUNTS) == [(0, 200)]


async def test_values_of_every_kind_arrive_as_they_were_returned(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        "CREATE TABLE kinds (id int PRIMARY KEY, b bool, i bigint, f float8, d numeric(30, 10), s text,"
        ' "Ö ""q""" varchar(5), j jsonb, js json, a int[], ts timestamptz, day date, iv interval, by bytea, u uuid,'
        " m mood, p positive, e text)",
        "INSERT INTO kinds (id, e) VALUES (1, 'there')",
    )
    values = {
        "b": True,
        "i": 2**62,
        "f": float("inf"),
        "d": Decimal("12345678901234567890.0123456789"),
        "s": "ä'\"\\\n",
        'Ö "q"': "five!",
        "j": {"a": [1, None, "x"]},
        "js": ["1"],
        "a": [1, 2, None],
        "ts": datetime(2024, 2, 1, 12, 30, tzinfo=UTC),
        "day": date(2024, 2, 1),
        "iv": timedelta(days=-1, seconds=5, microseconds=7),
        "by": b"\x00\xff",
        "u": UUID(int=7),
        "m": "happy",
        "p": 4,
        "e": None,
    }

    async def give(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        return [values]

    async def look(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        assert rows == [{"id": 1} | values]
        return [None]

    async with computing(give):
        await finished(field, table_name="kinds")
    async with computing(look) as seen:
        done = await finished_again(field, table_name="kinds")
    assert seen.ids == [1]
    assert (done["rows_scanned"], done["rows_changed"]) == (1, 0)


async def finished_again(field: Field, **job: Any) -> asyncpg.Record:
    await field.execute("DELETE FROM pgbackfill.jobs")
    return await finished(field, **job)


@pytest.mark.newest
async def test_a_value_that_the_table_refuses_is_its_rows_fault(database: Any) -> None:
    field = await Field.open(database, *TABLE, "ALTER TABLE t1 ADD CHECK (n <> 1 OR id <> 31)")
    async with computing() as seen:
        done = await finished(field)
    assert [row[:2] for row in await field.rows(QUARANTINE)] == [(31, "23514")]
    assert (done["rows_scanned"], done["rows_changed"]) == (200, 199)
    assert {seen.times(id_) for id_ in range(1, 201)} == {1}, "what was computed is kept while the chunk is halved"


@pytest.mark.newest
async def test_partitions_composite_keys_and_sparse_rows(database: Any) -> None:
    field = await Field.open(
        database,
        "CREATE TABLE p1 (id int, day date, n int DEFAULT 0, PRIMARY KEY (day, id)) PARTITION BY RANGE (day)",
        "CREATE TABLE p1_a PARTITION OF p1 FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
        "CREATE TABLE p1_b PARTITION OF p1 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')",
        "INSERT INTO p1 SELECT i, date '2024-01-01' + i % 60 FROM generate_series(1, 600) AS i",
    )
    async with computing() as seen:
        done = await finished(field, table_name="p1", where_clause="id % 50 = 0 -- few")
    assert sorted(seen.ids) == list(range(50, 601, 50))
    assert (done["rows_scanned"], done["rows_changed"]) == (600, 12)

    async def moves(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        return [{"day": date(2024, 1, 1)} for row in rows]

    async with computing(moves):
        await field.enqueue(**(JOB | {"name": "moves", "table_name": "p1_b", "key_columns": ["day", "id"]}))
        assert await field.drain(**HANDLERS) == 1
    assert "must not set day: it belongs to the" in str(await field.error("moves"))


@pytest.mark.newest
async def test_a_handler_is_given_the_columns_that_it_reads(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await finished(field, handler="narrow")
    assert await field.rows(COUNTS) == [(1, 200)]
    await field.execute("ALTER TABLE t1 RENAME n TO m; DELETE FROM pgbackfill.jobs")
    await field.enqueue(**(JOB | {"handler": "narrow"}))
    assert await field.drain(**HANDLERS) == 1
    assert await field.error() == "handler narrow reads n, which t1 does not have"


@pytest.mark.newest
async def test_a_pause_begins_no_further_call_and_keeps_what_was_computed(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    going = anyio.Event()

    async def waits(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        if rows[0]["id"] == 11:
            going.set()
            while not call.stopping:  # noqa: ASYNC110 - a flag, as handlers have it
                await anyio.sleep(0.01)
        return await count_up(rows, params, call)

    await field.enqueue(options={"handler_concurrency": 1}, **JOB)
    async with computing(waits) as seen, field.daemon(**HANDLERS):
        with anyio.fail_after(20):
            await going.wait()
        await field.execute("UPDATE pgbackfill.jobs SET desired_state = 'pause'")
        await eventually(lambda: field.value("SELECT status = 'paused' FROM pgbackfill.progress"))
        assert seen.ids == list(range(1, 12))
    stood = await field.progress()
    assert (stood["rows_scanned"], stood["rows_changed"]) == (11, 11)


@pytest.mark.newest
async def test_a_lost_connection_while_computing_costs_nothing_but_time(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    killed = False

    async def cut_off(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        nonlocal killed
        if rows[0]["id"] == 60 and not killed:
            killed = True
            await field.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE '%work%' AND pid <> pg_backend_pid()"
            )
        return await count_up(rows, params, call)

    async with computing(cut_off):
        done = await finished(field)
    assert killed
    assert await field.rows(COUNTS) == [(1, 200)]
    assert done["rows_changed"] == 200


@pytest.mark.newest
async def test_the_lease_is_kept_while_a_call_takes_long(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    first: Any = None

    async def long(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        nonlocal first
        if rows[0]["id"] == 1:
            first = await field.value("SELECT lease_until FROM pgbackfill.ranges")
            await eventually(lambda: field.value("SELECT lease_until > $1 FROM pgbackfill.ranges", first))
        return await count_up(rows, params, call)

    async with computing(long):
        await field.enqueue(**JOB)
        assert await field.drain(lease_s=5, **HANDLERS) == 0, await field.error()
    assert first is not None


@pytest.mark.newest
async def test_a_job_waits_for_a_daemon_that_has_its_handler(database: Any, capfd: pytest.CaptureFixture[str]) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(**JOB)
    assert await field.drain() == 0, "a daemon without the handler leaves the job"
    assert await field.value("SELECT hold_reason FROM pgbackfill.progress") == "no_daemon has the handler probe"
    assert await field.value("SELECT status FROM pgbackfill.progress") == "queued"
    async with computing():
        assert await field.drain(**HANDLERS) == 0
    await field.succeeded()
    with pytest.raises(UsageError, match=re.escape("module nothing of --handlers cannot be imported")):
        await field.drain(handlers=("nothing",))


@pytest.mark.newest
async def test_a_work_login_needs_no_more_than_select_and_update(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    work_dsn = await database.login("pgbackfill_worker")
    login = work_dsn.split("//")[1].split(":")[0]
    await field.enqueue(**JOB)
    async with computing():
        assert await field.drain(work_dsn=work_dsn, **HANDLERS) == 1
        assert f"GRANT SELECT, UPDATE ON public.t1 TO {login}" in str(await field.error())
        await field.execute(f"GRANT SELECT, UPDATE ON t1 TO {login}; DELETE FROM pgbackfill.jobs")
        await field.enqueue(**JOB)
        assert await field.drain(work_dsn=work_dsn, **HANDLERS) == 0, await field.error()
    assert await field.rows(COUNTS) == [(1, 200)]
