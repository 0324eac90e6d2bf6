"""Clauses: what does not fit its place is refused, what fits is accepted, and neither is executed."""

from __future__ import annotations

from typing import Any

import pytest

Refused = tuple[dict[str, Any], str, str]

ORDERS = "orders AS o"
DELETE = {"operation": "delete"}
COPY_KEYS = "INSERT INTO orders (user_id) SELECT id FROM chunk"


def statement(text: str, **more: Any) -> dict[str, Any]:
    return {"operation": "statement", "statement": text, **more}


SET_CLAUSE: list[Refused] = [
    ({"set_clause": "n = 1 where true --"}, "set_clause", "assignments only"),
    ({"set_clause": "n = 1 where true /*"}, "set_clause", "assignments only"),
    ({"set_clause": "n = 1 where (true"}, "set_clause", "assignments only"),
    ({"set_clause": "n = 1 FROM orders"}, "set_clause", "with nothing after them"),
    ({"set_clause": "n = 1 RETURNING sing()"}, "set_clause", "with nothing after them"),
    ({"set_clause": "n = 1,"}, "set_clause", "assignments only"),
    ({"set_clause": "n = 1;"}, "set_clause", "assignments only"),
    ({"set_clause": "n = 1; CREATE TABLE escaped ()"}, "set_clause", "not several commands"),
    ({"set_clause": "n = 1; SELECT sing() --"}, "set_clause", "not several commands"),
    ({"set_clause": "n == 1"}, "set_clause", "assignments only"),
    ({"set_clause": "t.n = 1"}, "set_clause", "column"),
    ({"set_clause": "email = 'unclosed"}, "set_clause", "unterminated quoted string"),
    ({"set_clause": "emial = 'x'"}, "set_clause", '"emial"'),
    ({"set_clause": "n = 'many'"}, "set_clause", "invalid input syntax for type integer"),
    ({"set_clause": "n = email"}, "set_clause", "is of type integer but expression is of type text"),
    ({"set_clause": "n = lowr(email)"}, "set_clause", "lowr(text) does not exist"),
    ({"set_clause": "n = count(*)"}, "set_clause", "aggregate functions are not allowed"),
    ({"set_clause": "n = row_number() OVER ()"}, "set_clause", "window functions are not allowed"),
    ({"set_clause": "n = generate_series(1, 2)"}, "set_clause", "set-returning functions are not allowed"),
    ({"set_clause": "n = $1"}, "set_clause", "there is no parameter $1"),
    ({"set_clause": "n = chunk.id"}, "set_clause", 'missing FROM-clause entry for table "chunk"'),
    ({"set_clause": "id = id"}, "set_clause", "must not set id, a column of the key"),
    ({"set_clause": "n = 1, (email, id) = (SELECT 'x', 7)"}, "set_clause", "must not set id"),
    ({"table_name": "visits", "set_clause": "day = day + 1"}, "set_clause", "must not set day"),
    ({"table_name": "visits_old", "set_clause": "day = day + 1"}, "set_clause", "must not set day"),
    ({"table_name": "january", "set_clause": "at = now()"}, "set_clause", "must not set at, a column of the partition"),
    ({"table_name": "orders", "set_clause": "doubled = 1"}, "set_clause", '"doubled" can only be updated to DEFAULT'),
    ({"table_name": "orders", "set_clause": "id = DEFAULT"}, "set_clause", "must not set id"),
]

WHERE_CLAUSE: list[Refused] = [
    ({"where_clause": "true) or (true"}, "where_clause", "one condition"),
    ({"where_clause": "true) UNION SELECT (sing()"}, "where_clause", "one condition"),
    ({"where_clause": "true ORDER BY 1"}, "where_clause", "one condition"),
    ({"where_clause": "true FOR UPDATE"}, "where_clause", "one condition"),
    ({"where_clause": "true LIMIT 1"}, "where_clause", "one condition"),
    ({"where_clause": "true GROUP BY n"}, "where_clause", "one condition"),
    ({"where_clause": "true RETURNING sing()"}, "where_clause", "one condition"),
    ({"where_clause": "true; CREATE TABLE escaped ()"}, "where_clause", "not several commands"),
    ({"where_clause": "true);CREATE TABLE escaped ();SELECT (1"}, "where_clause", "one condition"),
    ({"where_clause": "true /* never closed"}, "where_clause", "unterminated /* comment"),
    ({"where_clause": "-- nothing"}, "where_clause", "one condition"),
    ({"where_clause": "CURRENT OF c"}, "where_clause", "one condition"),
    ({"where_clause": "n"}, "where_clause", "must be type boolean"),
    ({"where_clause": "count(*) > 1"}, "where_clause", "aggregate functions are not allowed"),
    ({"where_clause": "users.n = 1"}, "where_clause", 'invalid reference to FROM-clause entry for table "users"'),
    ({"where_clause": "id IN (DELETE FROM canary RETURNING 1)"}, "where_clause", "one condition"),
]

FROM_CLAUSE: list[Refused] = [
    ({"from_clause": "orders WHERE true"}, "from_clause", "FROM items"),
    ({"from_clause": "orders WHERE true --"}, "from_clause", "FROM items"),
    ({"from_clause": "orders UNION SELECT 1 FROM orders"}, "from_clause", "FROM items"),
    ({"from_clause": "orders FOR UPDATE"}, "from_clause", "FROM items"),
    ({"from_clause": "orders; CREATE TABLE escaped ()"}, "from_clause", "not several commands"),
    ({"from_clause": "orders,"}, "from_clause", "FROM items"),
    ({"from_clause": "(SELECT 1"}, "from_clause", "FROM items"),
    ({"from_clause": "missing"}, "from_clause", '"missing" does not exist'),
    ({"from_clause": "orders AS chunk"}, "from_clause", 'table name "chunk" specified more than once'),
    ({"from_clause": "orders AS t"}, "from_clause", 'table name "t" specified more than once'),
    ({"from_clause": "LATERAL (SELECT 1 FROM orders WHERE user_id = t.id) AS s"}, "from_clause", '"t"'),
    ({"from_clause": ORDERS, "where_clause": "id = o.user_id"}, "where_clause", "for example t.id or chunk.id"),
    ({"from_clause": ORDERS, "set_clause": "n = id"}, "set_clause", "for example t.id or chunk.id"),
    ({"from_clause": ORDERS, "set_clause": "n = o.missing"}, "set_clause", "o.missing does not exist"),
    ({"from_clause": ORDERS, "set_clause": "n = 1 FROM orders WHERE true --"}, "set_clause", "nothing after them"),
    ({"from_clause": ORDERS, "set_clause": "id = o.user_id"}, "set_clause", "must not set id"),
    ({"from_clause": ORDERS, "where_clause": "true) or (true"}, "where_clause", "one condition"),
    ({"from_clause": ORDERS, "where_clause": "o.missing"}, "where_clause", "o.missing does not exist"),
    ({"from_clause": "orders WHERE true", **DELETE, "set_clause": None}, "from_clause", "FROM items"),
]

STATEMENT: list[Refused] = [
    (statement("analyze update users set n = 1"), "statement", "begin with that word"),
    (statement(f"WITH x AS (SELECT 1) {COPY_KEYS}"), "statement", "begin with that word"),
    (statement(f"/* hello */ {COPY_KEYS}"), "statement", "begin with that word"),
    (statement("SELECT sing() FROM chunk"), "statement", "begin with that word"),
    (statement("CREATE TABLE escaped AS SELECT * FROM chunk"), "statement", "begin with that word"),
    (statement("TRUNCATE users"), "statement", "begin with that word"),
    (statement(f"{COPY_KEYS}; CREATE TABLE escaped ()"), "statement", "not several commands"),
    (statement("DELETE FROM orders"), "statement", "this one does not"),
    (
        statement("INSERT INTO orders (user_id) WITH chunk AS (SELECT 1 AS id) SELECT id FROM chunk"),
        "statement",
        "does not",
    ),
    (statement("DELETE FROM orders WHERE note = 'chunk'"), "statement", "this one does not"),
    (statement("DELETE FROM orders WHERE id IN (SELECT key FROM chunk)"), "statement", '"key" does not exist'),
    (statement("DELETE FROM orders WHERE id IN (SELECT id FROM chunk"), "statement", "syntax error at end of input"),
    (statement(COPY_KEYS, where_clause="true)) DELETE FROM users --"), "where_clause", "one condition"),
    (statement(COPY_KEYS, where_clause="n = 'x'"), "where_clause", "invalid input syntax"),
]


@pytest.mark.parametrize(
    "rows", [SET_CLAUSE, WHERE_CLAUSE, FROM_CLAUSE, STATEMENT], ids=["set", "where", "from", "statement"]
)
async def test_a_clause_that_does_not_fit_is_refused_and_not_executed(shop: Any, rows: list[Refused]) -> None:
    await shop.connection.execute(
        """
        CREATE TABLE by_month (id int NOT NULL, at timestamp NOT NULL, n int)
            PARTITION BY RANGE (date_trunc('month', at));
        CREATE TABLE january PARTITION OF by_month (PRIMARY KEY (id))
            FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');
        """
    )
    for row, column, fragment in rows:
        row = row if row.get("operation") or "set_clause" in row else {"set_clause": "n = 1"} | row
        error = await shop.refusal(**row)
        assert error.column_name == column, f"{row}: {error.message}"
        assert fragment in error.message, f"{row}: {error.message}"
    assert await shop.untouched()


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
