"""Job rows at random: clauses that are nearly right, and values that no column expects."""

from __future__ import annotations

import json
import random
from typing import Any

SEEDS = {
    "set_clause": ["n = 1", "n = n + 1, email = 'x'", "(n, email) = (SELECT 1, 'a')", "n = CASE WHEN true THEN 1 END"],
    "where_clause": ["true", "n = 0", "n = 0 OR id > 0", "EXISTS (SELECT FROM orders)", "id IN (1, 2, 3)"],
    "from_clause": ["users AS u", "users AS u JOIN users AS v ON u.id = v.id", "LATERAL (SELECT chunk.id AS k) AS s"],
    "statement": ["UPDATE users SET n = 1 FROM chunk WHERE users.id = chunk.id",
                  "DELETE FROM users WHERE id IN (SELECT id FROM chunk)"],
}  # fmt: skip
PIECES = [
    "(", ")", ") OR (", "true", "--", "\n", "/*", "*/", "'", "''", "$$", '"', ";", ",", "\\", "E'", "U&'", "$1",
    "::int", " WHERE ", " WHERE true", " FROM ", " FROM users AS w", " RETURNING 1", " UNION SELECT 1", " OR true",
    " AND ", " FOR UPDATE", " LIMIT 1", " ORDER BY 1", " GROUP BY 1", "SELECT 1", "(SELECT 1)", " AS x",
    " JOIN users AS y", " ON true", " ON CONFLICT", ", id = 7", " = ", " IS NULL", " NOT ", " t.id = 1", " 1 ",
    " NULL", " DEFAULT", ' COLLATE "C"',
]  # fmt: skip
JUNK = [
    "",
    " ",
    "x",
    "'",
    '"',
    "\n",
    "\u202e",
    "🦆" * 50,
    "NULL",
    "-1",
    "1e999",
    "%s",
    "{}",
    "$1",
    "\\",
    "a" * 5000,
    None,
]
JSON_JUNK: list[Any] = [
    {}, [], None, 0, "x", True, {"": 1}, {"chunk_target_ms": -1}, {"chunk_target_ms": 1e300}, {"lag_soft_s": "x"},
    {"chunk_target_ms": {"a": [1]}}, {"work_mem": "64MB"}, {"work_mem": "9" * 400}, {"search_path": "x"},
    {"a.b": "c"}, {"role": "postgres"}, {"\n": "\n"}, {"a": "x" * 5000}, {"chunk_min_rows": 9, "chunk_max_rows": 8},
    {"Chunk_Target_Ms": 5}, {"max_quarantined": 0}, {"parallelism": 2}, {"chunk_max_rows": 1},
    {"synchronous_commit": "on"}, {"statement_timeout_ms": 1e9},
]  # fmt: skip
TINY: list[Any] = [
    {"duty_max": 5e-324}, {"lag_soft_s": 1e-300}, {"queue_target_s": 1e-300}, {"throughput_floor_s": 1e-300},
    {"latency_soft_ratio": 1.0000000001}, {"max_rows_per_s": 100}, {"max_wal_bytes_per_s": 100_000},
    {"chunk_target_ms": 1},
]  # fmt: skip
SETTINGS: list[Any] = [
    {"quote_all_identifiers": "on"}, {"random_page_cost": 1e6}, {"transform_null_equals": "on"},
    {"cpu_tuple_cost": 1e6}, {"client_min_messages": "debug5"}, {"application_name": "x"}, {"enable_sort": False},
    {"from_collapse_limit": 1}, {"debug_parallel_query": "on"}, {"timezone_abbreviations": "India"},
    {"temp_buffers": "100kB"}, {"row_security": "on"},
]  # fmt: skip
TIMES = ["now", "yesterday", "tomorrow", "infinity", "-infinity", "294000-01-01", "4000-01-01 BC", "soon", "", None]
ARRAY_JUNK: list[Any] = [[], [None], ["id"], ["id", "id"], ["x'"], ["1"], ["9" * 40], ["1", "2"], [""], ["NaN"], ["-1"]]
TABLE_NAMES = [
    "target_0",
    "TARGET_1",
    '"TARGET_1"',
    "pg_class",
    "target_0 u",
    "1259",
    "pgbackfill.jobs",
    "public.target_2",
]
KINDS = {
    "name": JUNK, "table_name": [*TABLE_NAMES, *JUNK], "target_table": ["orders", *JUNK], "handler": JUNK,
    "operation": ["update", "delete", "statement", "copy", "handler", *JUNK], "params": JSON_JUNK, "run_after": TIMES,
    "session_settings": [*JSON_JUNK, *SETTINGS], "options": [*JSON_JUNK, *TINY], "key_columns": ARRAY_JUNK,
    "from_key": ARRAY_JUNK, "to_key": ARRAY_JUNK, "priority": [0, -1, 2**31 - 1, None],
    "desired_state": ["run", "pause", "cancel", "RUN", *JUNK],
}  # fmt: skip


def mutated(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice((0, 1, 1, 2))):
        place = chance.choice([0, len(text), chance.randrange(len(text) + 1)])
        text = text[:place] + chance.choice(PIECES) + text[place:]
    return text


def clauses(chance: random.Random, wild: float = 1.0) -> dict[str, Any]:
    """An update or a delete of table users; `wild` is the share of the clauses that may be wrong."""
    job: dict[str, Any] = {"operation": chance.choice(("update", "update", "delete"))}
    wanted = {"set_clause": job["operation"] == "update", "where_clause": chance.random() < 0.7}
    for name in ("set_clause", "where_clause", "from_clause"):
        if wanted.get(name, chance.random() < 0.4):
            text = chance.choice(SEEDS[name])
            job[name] = mutated(chance, text) if chance.random() < wild else text
    return job


def row(chance: random.Random, name: str, table: str) -> dict[str, Any]:
    """A whole row. Half of them differ from a right one in their clauses alone."""
    job = {"name": name, "table_name": table, **clauses(chance, wild=chance.choice((0.0, 0.5, 1.0)))}
    if chance.random() < 0.15:
        job = {"name": name, "table_name": table, "operation": "statement"}
        job["statement"] = mutated(chance, chance.choice(SEEDS["statement"]).replace("users", table))
    for column in chance.sample(sorted(KINDS), k=chance.choice((0, 0, 0, 1, 1, 2))):
        value = chance.choice(KINDS[column])
        job[column] = (
            json.dumps(value) if column in ("params", "session_settings", "options") and value is not None else value
        )
    return job
