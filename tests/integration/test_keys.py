"""Every type that orders deterministically can be walked, each row exactly once."""

from __future__ import annotations

from typing import Any

import pytest
from support.field import Field
from support.steps import Steps

from pgbackfill.keyset.statement import Form

ROWS = 40

# Key columns (name, type) and the values that they take in row i, as SQL.
KEYS: dict[str, tuple[str, str]] = {
    "int": ("a int", "i * 3 - 50"),
    "smallint": ("a smallint", "i - 20"),
    "bigint": ("a bigint", "i * 9223372036854775 * (-1) ^ i"),
    "uuid": ("a uuid", "md5(i::text)::uuid"),
    "text in C": ('a text COLLATE "C"', "chr(64 + i) || i"),
    "text in another collation": ("a text COLLATE {other}",
                                  "(ARRAY['ä','A','a','Z','z-','z '''])[i % 6 + 1] || chr(64 + i)"),
    "text in the default collation": ("a text", "(ARRAY['é','E','e ','\\','\"',''''])[i % 6 + 1] || i"),
    "empty and long text": ("a text", "repeat('x', i * 20)"),
    "varchar(n)": ("a varchar(12)", "'v ' || i || ' '"),
    "char(n)": ("a char(9)", "CASE i % 2 WHEN 0 THEN 'c' ELSE 'c  d' END || i"),
    "name": ("a name", "'n' || i"),
    "date": ("a date", "CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN '0044-03-15 BC'"
             " ELSE (date '2024-02-20' + i)::text END::date"),
    "timestamp": ("a timestamp", "timestamp '2024-03-31 01:00' + i * interval '17 minutes 1 microsecond'"),
    "timestamptz": ("a timestamptz", "CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN '0044-03-15 BC'"
                    " ELSE (timestamptz '2024-10-27 00:00 UTC' + i * interval '7 minutes')::text END::timestamptz"),
    "timestamptz(0)": ("a timestamptz(0)", "timestamptz '2024-10-27 00:00 UTC' + i * interval '7 seconds'"),
    "time": ("a time", "time '23:59' - i * interval '1 second'"),
    "interval": ("a interval", "i * interval '1 day -1 hour' * (-1) ^ i"),
    "numeric": ("a numeric", "CASE i WHEN 1 THEN 'NaN' ELSE (i - 20) / 7.0 END"),
    "numeric(p, s)": ("a numeric(8,2)", "i / 100.0"),
    "float": ("a float8", "CASE i WHEN 1 THEN 'NaN' WHEN 2 THEN '-Infinity' ELSE i / 3.0 END"),
    "bytea": ("a bytea", "decode(lpad(to_hex(i * 6), 2, '0') || '00ff', 'hex')"),
    "boolean and int": ("a boolean, b int", "i % 2 = 0, i"),
    "enum": ("a mood, b int", "(ARRAY['sad', 'so, so', 'it''s \"ok\"'])[i % 3 + 1]::mood, i"),
    "domain": ("a positive", "i"),
    "inet": ("a inet", "inet '10.0.0.0' + i * 7"),
    "bit": ("a bit(7)", "i::bit(7)"),
    "(uuid, timestamptz)": ("a uuid, b timestamptz",
                            "md5((i / 9)::text)::uuid, timestamptz '2024-01-01' + i * interval '1s'"),
    "(int, bigint)": ("a int, b bigint", "i / 7, -i"),
    "(text, numeric)": ("a text, b numeric", "repeat('t', i / 11), i / 10.0"),
    "(date, enum, char)": ("a date, b mood, c char(3)",
                           "date '2024-01-01' + i / 9, (ARRAY['sad', 'so, so'])[i % 2 + 1]::mood, i::text"),
}  # fmt: skip

TYPES = """
CREATE TYPE mood AS ENUM ('so, so', 'sad', 'it''s "ok"');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
"""

# ICU's where the server was built with it (the embedded ones were not), else what libc or Postgres itself brings.
OTHER_COLLATION = """
SELECT quote_ident(collname) FROM pg_collation
 WHERE collisdeterministic AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
   AND collname NOT IN ('default', 'C', 'POSIX')
   AND (collprovider <> 'i' OR pg_collation_actual_version(oid) IS NOT NULL)
 ORDER BY collname <> 'und-x-icu', collprovider = 'c', collname DESC LIMIT 1
"""


async def _field(database: Any, kind: str) -> Field:
    columns, values = KEYS[kind]
    names = ", ".join(column.split()[0] for column in columns.split(", "))
    field = await Field.open(database, TYPES)
    columns = columns.replace("{other}", await field.value(OTHER_COLLATION))
    await field.execute(f"CREATE TABLE odd ({columns}, n int NOT NULL DEFAULT 0, PRIMARY KEY ({names}))")
    await field.execute(f"INSERT INTO odd SELECT {values} FROM generate_series(1, {ROWS}) AS i ORDER BY i * 7919 % 41")
    return field


@pytest.mark.parametrize("kind", KEYS)
async def test_each_row_is_changed_once_whatever_the_type_of_its_key(database: Any, kind: str) -> None:
    field = await _field(database, kind)
    steps = await Steps.begin(field, table_name="odd")
    assert steps.form is Form.RANGE
    assert await steps.finish(7) == ROWS
    assert await field.rows("SELECT n, count(*) FROM odd GROUP BY n") == [(1, ROWS)]


@pytest.mark.newest
@pytest.mark.parametrize("kind", KEYS)
async def test_rows_that_were_locked_first_are_reached_by_their_keys(database: Any, kind: str) -> None:
    field = await _field(database, kind)
    steps = await Steps.begin(
        field, table_name="odd", from_clause="generate_series(1, 1) AS one", set_clause="n = t.n + one"
    )
    assert steps.form is Form.JOINED
    assert await steps.finish(7) == ROWS
    assert await field.rows("SELECT n, count(*) FROM odd GROUP BY n") == [(1, ROWS)]
