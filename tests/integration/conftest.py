"""A small shop to enqueue jobs against, with a canary that tells whether any of their SQL was executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, email text, email_lower text, n int, tags text[], born date);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id bigint, total numeric, note text,
    doubled numeric GENERATED ALWAYS AS (total * 2) STORED);
CREATE TABLE visits (id bigint, day date, n int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE visits_old PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE visits_new PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');

CREATE TABLE canary (sang text);
CREATE FUNCTION sing() RETURNS int LANGUAGE sql VOLATILE
    AS $$ INSERT INTO canary VALUES ('sing') RETURNING 1 $$;
-- The planner folds this into a constant, that is, it runs it.
CREATE FUNCTION sing_early() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN sing(); END $$;
"""


@dataclass
class Shop:
    """A connection to the shop's database; `database` is the fixture of that name."""

    database: Any
    connection: asyncpg.Connection[Any]

    async def insert(self, connection: asyncpg.Connection[Any] | None = None, **row: Any) -> asyncpg.Record:
        """Insert a job (`name` and `table_name` have defaults) and return its row."""
        row = {"name": "job", "table_name": "users"} | row
        values = [json.dumps(value) if isinstance(value, Mapping) else value for value in row.values()]
        places = ", ".join(f"${i}" for i in range(1, len(row) + 1))
        record = await (connection or self.connection).fetchrow(
            f"INSERT INTO pgbackfill.jobs ({', '.join(row)}) VALUES ({places}) RETURNING *", *values
        )
        assert isinstance(record, asyncpg.Record)
        return record

    async def refusal(self, connection: asyncpg.Connection[Any] | None = None, **row: Any) -> asyncpg.PostgresError:
        """Insert a job that must be refused, check the form of the refusal, and return it."""
        with pytest.raises(asyncpg.PostgresError) as caught:
            raise AssertionError(f"was not refused: {await self.insert(connection, **row)}")
        error = caught.value
        assert error.sqlstate == "22023", f"{row}: {error!r}"
        assert (error.schema_name, error.table_name) == ("pgbackfill", "jobs"), row
        assert error.message.startswith(f"{error.column_name}: "), error.message
        assert "\n" not in error.message, error.message
        return error

    async def accepted(self, **row: Any) -> asyncpg.Record:
        """Insert a job, then take it back, so that the next one may have the same name."""
        record = await self.insert(**row)
        await self.connection.execute("DELETE FROM pgbackfill.jobs WHERE id = $1", record["id"])
        return record

    async def untouched(self) -> bool:
        """Whether nothing was executed: no song, no new table, and not one job."""
        return bool(
            await self.connection.fetchval(
                """
                SELECT NOT EXISTS (SELECT FROM canary) AND NOT EXISTS (SELECT FROM pgbackfill.jobs)
                   AND (SELECT count(*) FROM users) = 3 AND to_regclass('escaped') IS NULL
                   AND (SELECT bool_and(n = 0) FROM users)
                """
            )
        )


@pytest.fixture
async def shop(database: Any) -> Shop:
    connection = await database.connect()
    await connection.execute(SCHEMA)
    await connection.execute("INSERT INTO users (id, n) VALUES (1, 0), (2, 0), (3, 0)")
    return Shop(database, connection)
