"""Clauses that fit their place are accepted and not executed; test_malformed_inserts.py has those that do not."""

from __future__ import annotations

from typing import Any

from support.malformed import COPY_KEYS, DELETE, ORDERS, statement

ACCEPTED: list[dict[str, Any]] = [
    {"set_clause": "email_lower = lower(email)", "where_clause": "email_lower IS NULL"},
    {"set_clause": "n = n + 1 -- once"},
    {"set_clause": "n = 1 -- why", "where_clause": "n = 0 -- because"},
    {"set_clause": "tags[1] = 'a', (n, email) = (SELECT 1, 'b')"},
    {"set_clause": "n = sing()", "where_clause": "sing() > 0"},
    {"set_clause": "n = sing_early()", "where_clause": "sing_early() > 0 AND email IS NOT NULL"},
    {"set_clause": "n = (SELECT count(*) FROM orders WHERE user_id = t.id)"},
    {"set_clause": "email = 'it''s; DROP TABLE users; --'", "where_clause": "email = $$true) or (true$$"},
    {"set_clause": "n = o.total", "from_clause": ORDERS, "where_clause": "o.user_id = t.id AND t.n IS NULL"},
    {
        "set_clause": "n = s.total -- sum",
        "from_clause": "LATERAL (SELECT sum(total) AS total FROM orders WHERE user_id = chunk.id) AS s -- all of them",
        "where_clause": "t.n IS DISTINCT FROM s.total -- again",
    },
    {"set_clause": "n = 1", "from_clause": "orders o JOIN users u ON u.id = o.user_id, generate_series(1, 2) AS g"},
    {**DELETE},
    {**DELETE, "where_clause": "born < '1900-01-01'"},
    {**DELETE, "from_clause": ORDERS, "where_clause": "o.user_id = t.id"},
    {"table_name": "orders", "set_clause": "total = total + 1", "where_clause": "doubled > 2"},
    {"table_name": "visits", "set_clause": "n = 1", "where_clause": "day > '2024-06-01'"},
    {"table_name": "visits_old", **DELETE},
    statement(COPY_KEYS),
    statement(f"\n insert{COPY_KEYS[6:]} RETURNING id", where_clause="n = 0 -- new"),
    statement("DELETE FROM orders USING chunk WHERE user_id = chunk.id;"),
    statement("UPDATE orders SET note = 'x' WHERE user_id IN (SELECT id FROM chunk)"),
    statement("INSERT INTO canary SELECT sing() FROM chunk"),
    statement("UPDATE visits SET n = 1 FROM chunk WHERE visits.id = chunk.id", table_name="visits"),
    {"set_clause": "n = 1", "from_key": ["1"], "to_key": ["5"], "priority": 3, "desired_state": "pause"},
    {"set_clause": "n = 1", "session_settings": {"work_mem": "64MB", "audit.skip": True, "row_security": "on"}},
    {"set_clause": "n = 1", "options": {"chunk_target_ms": 50, "duty_max": None, "lag_soft_s": 0.5}},
]


async def test_a_good_row_is_accepted_and_not_executed(shop: Any) -> None:
    for row in ACCEPTED:
        job = await shop.accepted(**row)
        assert job["status"] == ("paused" if "desired_state" in row else "queued")
    assert await shop.untouched()


async def test_merge_is_a_statement_from_15_on(shop: Any) -> None:
    merge = "MERGE INTO orders AS o USING chunk ON o.user_id = chunk.id WHEN MATCHED THEN DELETE"
    if shop.connection.get_server_version() >= (15,):
        await shop.accepted(**statement(merge))
    else:
        await shop.refusal(**statement(merge))


async def test_a_table_named_chunk_is_not_mistaken_for_the_keys(shop: Any) -> None:
    await shop.connection.execute("CREATE TABLE chunk (id bigint)")
    await shop.accepted(**statement(COPY_KEYS))
    error = await shop.refusal(**statement("INSERT INTO orders (user_id) SELECT id FROM public.chunk"))
    assert "this one does not" in error.message


async def test_the_check_takes_no_lasting_lock_on_the_table(shop: Any) -> None:
    async with shop.connection.transaction():
        await shop.insert(set_clause="n = 1", where_clause="n = 0")
        other = await shop.database.connect()
        await other.execute("SET lock_timeout = '5s'; ALTER TABLE users ADD COLUMN later int")
