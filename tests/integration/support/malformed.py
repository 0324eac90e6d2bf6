"""Rows that must be refused at INSERT, with the column that is named and a piece of the sentence."""

from __future__ import annotations

from typing import Any

Refused = tuple[dict[str, Any], str, str]

SET = {"set_clause": "n = 1"}
MIB = 1 << 20

SHAPE: list[Refused] = [
    ({"name": "Users", **SET}, "name", "a-z"),
    ({"name": "-x", **SET}, "name", "beginning with a letter or digit"),
    ({"name": "", **SET}, "name", "1 to 200"),
    ({"name": "x" * 201, **SET}, "name", "1 to 200"),
    ({"name": "a b\n", **SET}, "name", "a-z"),
    ({"name": None, **SET}, "name", "must not be null"),
    ({"operation": "upsert", **SET}, "operation", "update, delete, statement, copy or handler"),
    ({"operation": None, **SET}, "operation", "must not be null"),
    ({"operation": "copy"}, "target_table", "is missing"),
    ({"operation": "copy", "target_table": "nothing"}, "target_table", '"nothing" is not a table here'),
    ({"operation": "copy", "target_table": "users"}, "target_table", "is the table that is copied"),
    ({"operation": "copy", "target_table": "canary"}, "target_table", "has no column id to take the key"),
    (
        {"operation": "copy", "target_table": "visits"},
        "target_table",
        "public.visits has no unique key on id, so a copied row could not be told from a new one",
    ),
    ({"operation": "copy", "target_table": "orders", **SET}, "set_clause", "does not go with operation copy"),
    ({"operation": "copy", "target_table": "orders", "where_clause": "tru"}, "where_clause", 'column "tru"'),
    ({"operation": "handler"}, "handler", "is missing; operation handler needs it"),
    ({"operation": "handler", "handler": "no spaces"}, "handler", "must be 1 to 200 of"),
    ({"operation": "handler", "handler": "mail", "params": "[1]"}, "params", "must be a JSON object"),
    ({"operation": "handler", "handler": "mail", **SET}, "set_clause", "does not go with operation handler"),
    ({"operation": "handler", "handler": "mail", "where_clause": "nothing"}, "where_clause", "nothing"),
    ({}, "set_clause", "is missing"),
    ({"set_clause": " \n"}, "set_clause", "must not be empty"),
    ({"where_clause": "", **SET}, "where_clause", "leave it out"),
    ({"operation": "delete", **SET}, "set_clause", "does not go with operation delete"),
    ({"statement": "DELETE FROM users", **SET}, "statement", "does not go with operation update"),
    ({"operation": "statement"}, "statement", "is missing"),
    (
        {"operation": "statement", "statement": "DELETE FROM orders WHERE id IN (SELECT id FROM chunk)", **SET},
        "set_clause",
        "does not go with operation statement",
    ),
    (
        {"operation": "statement", "statement": "DELETE FROM orders", "from_clause": "orders"},
        "from_clause",
        "does not go with operation statement",
    ),
    ({"target_table": "users", **SET}, "target_table", "does not go with"),
    ({"handler": "mail", **SET}, "handler", "does not go with"),
    ({"params": {"a": 1}, **SET}, "params", "does not go with"),
    ({"params": None, **SET}, "params", "must not be null"),
    ({"where_clause": f"n = 1 /* {'x' * MIB} */", **SET}, "where_clause", "at most 1 MiB"),
    ({"desired_state": "stop", **SET}, "desired_state", "run, pause or cancel"),
    ({"priority": None, **SET}, "priority", "leave it out for the default"),
]

OPTIONS: list[Refused] = [
    ({"options": {"chunk_target": 50}, **SET}, "options", "nearest is chunk_target_ms"),
    ({"options": {"lagsofts": 1}, **SET}, "options", "the nearest is lag_soft_s"),
    ({"options": {"chunk_target_ms": 0}, **SET}, "options", "chunk_target_ms must be at least 1 and at most 60000 ms"),
    ({"options": {"chunk_target_ms": 1.5}, **SET}, "options", "whole number in ms"),
    ({"options": {"chunk_target_ms": "100ms"}, **SET}, "options", 'whole number in ms, not "100ms"'),
    ({"options": {"lag_soft_s": 0}, **SET}, "options", "lag_soft_s must be above 0"),
    ({"options": {"lag_soft_s": 1e-300}, **SET}, "options", "lag_soft_s must be above 0"),
    ({"options": {"latency_soft_ratio": 1.0000000000001}, **SET}, "options", "latency_soft_ratio must be above 1"),
    ({"options": {"lag_soft_s": 6}, **SET}, "options", "lag_soft_s (6) must not be above lag_hard_s (5, the default)"),
    ({"options": {"chunk_min_rows": 9, "chunk_max_rows": 8}, **SET}, "options", "must not be above chunk_max_rows (8)"),
    ({"options": {"synchronous_commit": "never"}, **SET}, "options", "one of off, local"),
    ({"options": {"parallelism": 65}, **SET}, "options", "parallelism must be at least 1 and at most 64 lanes, not 65"),
    ({"options": {"duty_max": True}, **SET}, "options", "must be a number"),
    ({"options": None, **SET}, "options", "must not be null"),
]

SETTINGS: list[Refused] = [
    ({"session_settings": {"work_memory": "1MB"}, **SET}, "session_settings", "work_memory"),
    ({"session_settings": {"work_mem": "a lot"}, **SET}, "session_settings", "cannot be set"),
    ({"session_settings": {"work_mem": ["64MB"]}, **SET}, "session_settings", "a string, a number or a boolean"),
    ({"session_settings": {"work_mem": None}, **SET}, "session_settings", "a string, a number or a boolean"),
    ({"session_settings": {"Search_Path": "x"}, **SET}, "session_settings", "that of the enqueuing session"),
    ({"session_settings": {"statement_timeout": 0}, **SET}, "session_settings", "statement_timeout_ms in options"),
    ({"session_settings": {"synchronous_commit": "off"}, **SET}, "session_settings", "set it in options"),
    ({"session_settings": {"role": "postgres"}, **SET}, "session_settings", "belongs to pgbackfill"),
    ({"session_settings": {"transaction_read_only": True}, **SET}, "session_settings", "belongs to pgbackfill"),
    ({"session_settings": {"enable_seqscan": False}, **SET}, "session_settings", "belongs to pgbackfill"),
]

TABLE: list[Refused] = [
    ({"table_name": "missing", **SET}, "table_name", "is not a table here"),
    ({"table_name": "nowhere.users", **SET}, "table_name", "is not a table here"),
    ({"table_name": 'users"', **SET}, "table_name", "is not a table here"),
    ({"table_name": "users; DROP TABLE users", **SET}, "table_name", "is not a table here"),
    ({"table_name": "Users Of Ours", **SET}, "table_name", "quotes where the name needs them"),
    ({"table_name": "1259", **SET}, "table_name", "is not a table here"),
    ({"table_name": "-", **SET}, "table_name", "is not a table here"),
    ({"table_name": "some_view", **SET}, "table_name", "is a view"),
    ({"table_name": "some_matview", **SET}, "table_name", "is a materialized view"),
    ({"table_name": "users_pkey", **SET}, "table_name", "is not a table"),
    ({"table_name": "pg_catalog.pg_class", **SET}, "table_name", "is a system catalog"),
    ({"table_name": "pgbackfill.jobs", **SET}, "table_name", "belongs to pgbackfill itself"),
    ({"table_name": "passing", **SET}, "table_name", "is a temporary table"),
    ({"table_name": "family", **SET}, "table_name", "has inheritance children"),
    ({"table_name": "ruled", **SET}, "table_name", "has rules"),
    ({"table_name": "foreign_users", **SET}, "table_name", "is a foreign table"),
    ({"table_name": None, **SET}, "table_name", "must not be null"),
]
_TABLES = """
CREATE VIEW some_view AS SELECT * FROM users;
CREATE MATERIALIZED VIEW some_matview AS SELECT * FROM users;
CREATE TEMPORARY TABLE passing (id int PRIMARY KEY, n int);
CREATE TABLE family (id int PRIMARY KEY, n int);
CREATE TABLE child () INHERITS (family);
CREATE TABLE ruled (id int PRIMARY KEY, n int);
CREATE RULE no_change AS ON UPDATE TO ruled DO INSTEAD NOTHING;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE foreign_users (id int, n int) SERVER nowhere;
"""

BOUNDS: list[Refused] = [
    ({"from_key": ["x"], **SET}, "from_key", 'bigint (invalid input syntax for type bigint: "x")'),
    ({"to_key": ["99999999999999999999"], **SET}, "to_key", "out of range"),
    ({"from_key": [], **SET}, "from_key", "must hold one value"),
    ({"from_key": ["1", "2"], **SET}, "from_key", "must hold one value"),
    ({"to_key": [None], **SET}, "to_key", "none of them null"),
    ({"from_key": ["2"], "to_key": ["1"], **SET}, "to_key", "must not be below from_key (2)"),
    ({"table_name": "visits", "from_key": ["1", "soon"], **SET}, "from_key", '"soon" is not a value of day'),
    (
        {"table_name": "visits", "from_key": ["1", "2025-02-01"], "to_key": ["1", "2025-01-01"], **SET},
        "to_key",
        "must not be below",
    ),
]

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

_BY_MONTH = """
CREATE TABLE by_month (id int NOT NULL, at timestamp NOT NULL, n int)
    PARTITION BY RANGE (date_trunc('month', at));
CREATE TABLE january PARTITION OF by_month (PRIMARY KEY (id))
    FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');
"""

_INDEXES = """
CREATE COLLATION ci (locale = 'C');
CREATE TABLE keys (
    id int PRIMARY KEY, a int NOT NULL, b int NOT NULL, c int NOT NULL, d int NOT NULL, e int NOT NULL, maybe int,
    name text NOT NULL, word text NOT NULL, folded text COLLATE ci NOT NULL, other text NOT NULL, n int,
    UNIQUE (d) DEFERRABLE);
CREATE UNIQUE INDEX ab ON keys (a, b) INCLUDE (n);
CREATE UNIQUE INDEX partial ON keys (c) WHERE n > 0;
CREATE UNIQUE INDEX backwards ON keys (e DESC);
CREATE UNIQUE INDEX nullable ON keys (maybe);
CREATE UNIQUE INDEX pattern ON keys (name text_pattern_ops);
CREATE UNIQUE INDEX "Lower" ON keys (lower(word));
CREATE UNIQUE INDEX folded ON keys (folded);
CREATE UNIQUE INDEX other ON keys (other COLLATE "POSIX");
CREATE INDEX plain ON keys (b);
CREATE UNIQUE INDEX nulls_first ON keys (b, c NULLS FIRST);
-- Only ICU has nondeterministic collations, and not every build has ICU; the catalog is what is looked at.
UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'ci';
"""

_KEYS: list[tuple[list[str], str]] = [
    (["c"], "index partial is partial (WHERE (n > 0)); name a unique NOT NULL key without a predicate"),
    (["d"], "index keys_d_key is deferrable"),
    (["e"], "index backwards does not hold column e in the default order"),
    (["b", "c"], "index nulls_first does not hold column c in the default order"),
    (["maybe"], "index nullable holds column maybe, which may be null"),
    (["name"], "index pattern orders column name by text_pattern_ops"),
    (["folded"], "index folded orders column folded by a nondeterministic collation"),
    (["other"], "index other orders column other by another collation"),
    (["b"], "index plain is not unique"),
    (["b", "a"], "index ab is on (a, b); name exactly these columns in this order"),
    (["a"], "index ab is on (a, b)"),
    (["a", "b", "n"], "no unique index on (a, b, n)"),
    (["word"], "no unique index on (word)"),
    (["id", "id"], "index keys_pkey is on (id); name exactly these columns"),
    (["missing"], 'has no column "missing"'),
    ([], "must be a list of column names"),
]

KEYS: list[Refused] = [
    ({"table_name": "keys", "set_clause": "n = 1", "key_columns": columns}, "key_columns", fragment)
    for columns, fragment in _KEYS
]

MALFORMED = {
    "shape": SHAPE, "options": OPTIONS, "settings": SETTINGS, "table": TABLE, "bounds": BOUNDS, "keys": KEYS,
    "set_clause": SET_CLAUSE, "where_clause": WHERE_CLAUSE, "from_clause": FROM_CLAUSE, "statement": STATEMENT,
}  # fmt: skip
DDL = {"table": _TABLES, "keys": _INDEXES, "set_clause": _BY_MONTH}
"""What a group needs besides the shop."""
