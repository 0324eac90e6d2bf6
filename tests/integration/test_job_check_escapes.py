"""Whatever passes the check stays in its place: run as a chunk runs it, it touches no row but those of the chunk."""

from __future__ import annotations

import random
from typing import Any

import asyncpg

SEEDS = {
    "set_clause": ["n = 1", "n = n + 1, email = 'x'", "(n, email) = (SELECT 1, 'a')", "n = CASE WHEN true THEN 1 END"],
    "where_clause": ["true", "n = 0", "n = 0 OR id > 0", "EXISTS (SELECT FROM orders)", "id IN (1, 2, 3)"],
    "from_clause": ["users AS u", "users AS u JOIN users AS v ON u.id = v.id", "LATERAL (SELECT chunk.id AS k) AS s"],
}
PIECES = [
    "(", ")", ") OR (", "true", "--", "\n", "/*", "*/", "'", "''", "$$", '"', ";", ",", "\\", "E'", "U&'", "$1",
    "::int", " WHERE ", " WHERE true", " FROM ", " FROM users AS w", " RETURNING 1", " UNION SELECT 1", " OR true",
    " AND ", " FOR UPDATE", " LIMIT 1", " ORDER BY 1", " GROUP BY 1", "SELECT 1", "(SELECT 1)", " AS x",
    " JOIN users AS y", " ON true", " ON CONFLICT", ", id = 7", " = ", " IS NULL", " NOT ", " t.id = 1", " 1 ",
    " NULL", " DEFAULT", ' COLLATE "C"',
]  # fmt: skip
CASES = 400


def _mutated(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice((0, 1, 1, 2))):
        place = chance.choice([0, len(text), chance.randrange(len(text) + 1)])
        text = text[:place] + chance.choice(PIECES) + text[place:]
    return text


def _job(chance: random.Random) -> dict[str, Any]:
    job: dict[str, Any] = {"operation": chance.choice(("update", "update", "delete"))}
    if job["operation"] == "update":
        job["set_clause"] = _mutated(chance, chance.choice(SEEDS["set_clause"]))
    if chance.random() < 0.7:
        job["where_clause"] = _mutated(chance, chance.choice(SEEDS["where_clause"]))
    if chance.random() < 0.4:
        job["from_clause"] = _mutated(chance, chance.choice(SEEDS["from_clause"]))
    return job


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
        job = _job(chance)
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
