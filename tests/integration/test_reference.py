"""The reference names every column and function that a database has, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
SOURCES = ROOT / "src" / "pgbackfill"

pytestmark = pytest.mark.newest


def named(page: str, mark: str) -> set[str]:
    """What stands in backquotes in the first column of the tables between `<!-- mark -->` and the next mark."""
    text = (REFERENCE / page).read_text(encoding="utf-8").partition(f"<!-- {mark} -->")[2].partition("<!--")[0]
    cells = re.findall(r"^\| ([^|]*`[^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def differences(documented: set[str], there: set[str]) -> dict[str, list[str]]:
    return {"add": sorted(there - documented), "remove": sorted(documented - there)}


async def test_every_column_is_documented(database: Any) -> None:
    connection = await database.connect()
    rows = await connection.fetch(
        "SELECT table_name, array_agg(column_name::text) AS columns FROM information_schema.columns"
        " WHERE table_schema = 'pgbackfill' GROUP BY table_name"
    )
    for row in rows:
        table = f"pgbackfill.{row['table_name']}"
        page = "jobs.md" if table == "pgbackfill.jobs" else "schema.md"
        wrong = differences(named(page, f"columns: {table}"), set(row["columns"]))
        assert wrong == {"add": [], "remove": []}, f"{table} in docs/reference/{page}, below <!-- columns: {table} -->"


async def test_every_function_for_people_is_documented(database: Any) -> None:
    connection = await database.connect()
    # What people call takes a job's name first; a job of that name is what it is about.
    rows = await connection.fetch(
        "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pgbackfill'::regnamespace"
        " AND proargnames[1] = 'name' AND proargtypes[0] = 'text'::regtype"
    )
    text = (REFERENCE / "jobs.md").read_text(encoding="utf-8").partition("<!-- functions -->")[2]
    documented = set(re.findall(r"^\| `pgbackfill\.(\w+)\(", text, re.MULTILINE))
    wrong = differences(documented, {row["proname"] for row in rows})
    assert wrong == {"add": [], "remove": []}, "docs/reference/jobs.md, below <!-- functions -->"


def test_every_event_that_the_code_writes_is_documented() -> None:
    python = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCES.rglob("*.py")))
    sql = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCES.rglob("*.sql")))
    written = set(re.findall(r"jobs\.note\([^\"]*\"(\w+)\"", python))
    written |= set(re.findall(r"guide\.tell\(\s*\"(\w+)\"", python))
    written |= set(re.findall(r"await self(?:\.trouble)?\.pause\(\"(\w+)\"", python))
    for statement in re.findall(r"INSERT INTO pgbackfill\.events \([^)]*\bevent\b[^)]*\)([^;]*)", sql):
        head = statement.partition("jsonb_")[0]
        written |= set(re.findall(r"'([a-z_]+)'", head)) - {"DELETE"}
    written |= set(re.findall(r"SELECT '([a-z_]+)'(?: AS event|, jsonb)", sql))
    changed = re.search(r"FROM \(VALUES\n(.*?)\) AS field \(name", sql, re.DOTALL)
    assert changed is not None
    written |= set(re.findall(r"\('(\w+)',", changed[1]))
    assert differences(named("schema.md", "events"), written) == {"add": [], "remove": []}, (
        "docs/reference/schema.md, below <!-- events -->"
    )
