"""Whatever passes the check stays in its place: run as a chunk runs it, it touches no row but those of the chunk."""

from __future__ import annotations

import random
from typing import Any

import asyncpg
from support.fuzz import clauses

CASES = 400


def _chunk(job: dict[str, Any]) -> str:
    """The statement of a chunk that holds row 2 and nothing else."""
    items, match = "", "t.id = 2"
    if "from_clause" in job:
        word = "FROM" if job["operation"] == "update" else "USING"
        items = f" {word} (SELECT 2::bigint AS id) AS chunk,\n{job['from_clause']}\n"
        match = "t.id = chunk.id"
    head = (
        f"UPDATE ONLY users AS t SET {job['set_clause']}\n"
        if job["operation"] == "update"
        else "DELETE FROM ONLY users AS t"
    )
    condition = f" AND ({job['where_clause']}\n)" if "where_clause" in job else ""
    return f"{head}{items} WHERE {match}{condition} RETURNING 1"


async def test_no_accepted_clause_reaches_beyond_its_chunk(shop: Any) -> None:
    chance = random.Random(7)
    connection: asyncpg.Connection[Any] = shop.connection
    others = "SELECT * FROM users WHERE id <> 2 ORDER BY id"
    before = await connection.fetch(others)
    accepted = 0
    for _ in range(CASES):
        job = clauses(chance)
        try:
            await shop.accepted(**job)
        except asyncpg.PostgresError as refusal:
            if refusal.sqlstate != "22023":
                raise
            continue
        accepted += 1
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.fetch(_chunk(job))
            assert await connection.fetch(others) == before, job
            assert await connection.fetchval("SELECT count(*) FROM users WHERE id NOT IN (1, 2, 3)") == 0, job
        except (asyncpg.DataError, asyncpg.CardinalityViolationError):
            pass  # a row may still fail: that is what quarantine is for
        finally:
            await transaction.rollback()
    # Else the test would prove nothing.
    assert CASES // 8 < accepted < CASES - CASES // 8
