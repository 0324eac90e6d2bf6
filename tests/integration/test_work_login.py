"""The work login reaches what it was granted, and is told what it was not."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.field import Field, eventually

TABLES = """
CREATE SCHEMA shop;
CREATE TABLE shop.t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, number bigint);
INSERT INTO shop.t1 SELECT generate_series(1, 20);
CREATE TABLE shop.other (id int PRIMARY KEY, n int);
CREATE TABLE shop.log (id int, at timestamptz);
CREATE SEQUENCE shop.numbers;
CREATE FUNCTION shop.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON FUNCTION shop.one() FROM PUBLIC;
CREATE TABLE shop.visits (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE shop.visits_1 PARTITION OF shop.visits FOR VALUES FROM (0) TO (10);
CREATE TABLE shop.visits_2 PARTITION OF shop.visits FOR VALUES FROM (10) TO (20);
INSERT INTO shop.visits SELECT generate_series(1, 19);
"""
T1 = {"table_name": "shop.t1"}
USAGE = "GRANT USAGE ON SCHEMA shop TO {}"
UPDATES = "GRANT SELECT, UPDATE ON shop.t1 TO {}"
JOBS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "update": (T1, [USAGE, UPDATES]),
    "delete": (T1 | {"operation": "delete", "where_clause": "n = 5"}, [USAGE, "GRANT SELECT, DELETE ON shop.t1 TO {}"]),
    "subselect": (
        T1 | {"set_clause": "n = (SELECT count(*) FROM shop.other)"},
        [USAGE, "GRANT SELECT ON shop.other TO {}", UPDATES],
    ),
    "join": (
        T1 | {"set_clause": "n = o.n", "from_clause": "shop.other AS o", "where_clause": "o.id = t.id"},
        [USAGE, "GRANT SELECT ON shop.other TO {}", UPDATES],
    ),
    "function and sequence": (
        T1 | {"set_clause": "n = shop.one(), number = nextval('shop.numbers')"},
        [USAGE, UPDATES, "GRANT USAGE ON SEQUENCE shop.numbers TO {}", "GRANT EXECUTE ON FUNCTION shop.one() TO {}"],
    ),
    "statement": (
        T1 | {"operation": "statement", "statement": "INSERT INTO shop.log SELECT id, now() FROM chunk"},
        [USAGE, "GRANT INSERT ON shop.log TO {}", UPDATES],
    ),
    "leaves": (
        {"table_name": "shop.visits"},
        [USAGE, "GRANT SELECT, UPDATE ON shop.visits_1 TO {}", "GRANT SELECT, UPDATE ON shop.visits_2 TO {}"],
    ),
}


async def _login(field: Field, *groups: str) -> tuple[str, str]:
    dsn: str = await field.database.login(*groups)
    return dsn, dsn.split("//")[1].split(":")[0]


@pytest.mark.parametrize("kind", JOBS)
async def test_the_job_fails_before_its_first_chunk_with_the_grants_that_let_it_run(database: Any, kind: str) -> None:
    field = await Field.open(database, TABLES)
    row, grants = JOBS[kind]
    work_dsn, login = await _login(field, "pgbackfill_worker")
    await field.enqueue(**row)
    assert await field.drain(work_dsn=work_dsn) == 1
    error = await field.error() or ""
    assert error.startswith(f"the work login {login} lacks rights (permission denied for "), error
    assert re.findall(r"GRANT [^;]+", error) == [grant.format(login) for grant in grants]
    assert await field.value("SELECT count(*) FROM pgbackfill.ranges") == 0
    await field.execute("; ".join(re.findall(r"GRANT [^;]+", error)))
    await field.execute("SELECT pgbackfill.retry('job')")
    assert await field.drain(work_dsn=work_dsn) == 0, await field.error()
    await field.succeeded()
    await field.execute(f"DROP OWNED BY {login}")


async def test_one_leaf_without_rights_is_enough(database: Any) -> None:
    field = await Field.open(database, TABLES)
    work_dsn, login = await _login(field, "pgbackfill_worker")
    await field.execute(f"GRANT USAGE ON SCHEMA shop TO {login}; GRANT SELECT, UPDATE ON shop.visits_1 TO {login}")
    await field.enqueue(table_name="shop.visits")
    assert await field.drain(work_dsn=work_dsn) == 1
    assert re.findall(r"GRANT [^;]+", await field.error() or "") == [
        f"GRANT SELECT, UPDATE ON shop.visits_2 TO {login}"
    ]
    assert await field.value("SELECT count(*) FROM shop.visits WHERE n > 0") == 0
    await field.execute(f"DROP OWNED BY {login}")


async def test_rights_on_single_columns_are_enough(database: Any) -> None:
    field = await Field.open(database, TABLES)
    work_dsn, login = await _login(field, "pgbackfill_worker")
    await field.execute(
        f"GRANT USAGE ON SCHEMA shop TO {login}; GRANT SELECT (id, n), UPDATE (n) ON shop.t1 TO {login}"
    )
    await field.enqueue(table_name="shop.t1")
    assert await field.drain(work_dsn=work_dsn) == 0, await field.error()
    await field.execute(f"DROP OWNED BY {login}")


async def test_a_login_outside_the_group_is_told_of_it(database: Any) -> None:
    field = await Field.open(database, TABLES)
    work_dsn, login = await _login(field)
    await field.enqueue(table_name="shop.t1")
    assert await field.drain(work_dsn=work_dsn) == 1
    said = f"the work login {login} may not run chunks; GRANT pgbackfill_worker TO {login}"
    assert await field.error() == said


async def test_it_shows_holds_and_gives_ranges_back(database: Any) -> None:
    """Both are written to pgbackfill's tables, on which it has no rights."""
    field = await Field.open(database, TABLES)
    work_dsn, login = await _login(field, "pgbackfill_worker")
    await field.execute(f"GRANT USAGE ON SCHEMA shop TO {login}; GRANT SELECT, UPDATE ON shop.t1 TO {login}")
    await field.enqueue(table_name="shop.t1", options={"lock_timeout_ms": 50, "max_rows_per_s": 20})
    other = await database.connect()
    async with field.daemon(work_dsn=work_dsn, chunk_max_rows=1):
        await eventually(lambda: field.value("SELECT count(*) > 0 FROM shop.t1 WHERE n = 1"))
        async with other.transaction():
            await other.execute("SELECT FROM shop.t1 WHERE id = 20 FOR UPDATE")
            await eventually(lambda: field.value("SELECT hold_reason ~ '^row_locked by pid' FROM pgbackfill.progress"))
            await field.execute("SELECT pgbackfill.pause('job')")
            await eventually(lambda: field.value("SELECT status = 'paused' FROM pgbackfill.jobs"))
        assert await field.value("SELECT lease_until IS NULL FROM pgbackfill.ranges")
    await field.execute(f"DROP OWNED BY {login}")
