"""Reading EXPLAIN as Postgres 15, 16 and 18 really print it; `plans/` holds what they answered."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pgbackfill.keyset.explain import (
    key_scan_problem,
    others_scanned,
    read_change,
    readable,
    reads_elsewhere,
    walked_scanned,
)

VERSIONS = ("15", "16", "18")


@cache
def _plans(version: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "plans" / f"{version}.json").read_text())
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "changed", "scanned"),
    [
        ("update_range", 15, 30),  # half of them are excluded by where_clause
        ("update_joined_triggered", 2, 3),  # a trigger drops one of the three
        ("delete_range", 10, 10),
        ("insert_select", 3, 0),
        ("upsert", 4, 0),
        ("insert_do_nothing", 1, 0),  # four of five conflict
        ("merge", 5, 0),  # one deleted, three updated, one inserted
        ("update_other", 2, 0),
    ],
)
def test_rows_are_counted_as_they_were_changed(version: str, name: str, changed: int, scanned: int) -> None:
    ours = name.endswith(("_range", "_triggered"))
    report = read_change(_plans(version)[name], returning=ours)
    assert (report.rows_changed, report.rows_scanned) == (changed, scanned)
    assert 0 < report.seconds < 1
    assert report.wal_bytes > 20 * changed


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "column", "problem"),
    [
        ("plan_key_scan", "a > b", None),
        ("plan_empty", "id", None),
        (
            "plan_filter",
            "id",
            "index t1_pkey is used with the condition (t.id <= 40), which lacks an end of the key range",
        ),
        ("plan_seq_scan", "n", "it reads the walked table by a Seq Scan instead of the key's index"),
    ],
)
def test_a_scan_must_have_both_ends_in_the_keys_index(
    version: str, name: str, column: str, problem: str | None
) -> None:
    assert key_scan_problem(_plans(version)[name][0]["Plan"], column, 2) == problem


@pytest.mark.parametrize("version", VERSIONS)
def test_one_end_is_enough_for_the_first_chunk(version: str) -> None:
    assert key_scan_problem(_plans(version)["plan_filter"][0]["Plan"], "id", 1) is None


def test_comparisons_inside_a_literal_do_not_count() -> None:
    node = {"Node Type": "Index Scan", "Alias": "t", "Index Name": "i", "Index Cond": "(t.id <= ' > '' > '::text)"}
    assert key_scan_problem(node, "id", 2) is not None


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_read_besides_the_walked_table(version: str) -> None:
    plan = _plans(version)["plan_seq_scan"][0]["Plan"]
    assert others_scanned(plan) == [("public", "other")]
    assert walked_scanned(plan) == [("public", "t1")]
    assert reads_elsewhere(plan)
    assert not reads_elsewhere(_plans(version)["plan_filter"][0]["Plan"])


def test_a_plan_is_shown_without_the_keys_of_a_whole_chunk() -> None:
    plan = {"Plans": [{"Filter": "k = ANY ('{" + "1234567," * 9999 + "1}'::text[]) AND s = 'it''s short'"}], "Rows": 1}
    shown = readable(plan)
    assert len(json.dumps(shown)) < 300
    assert shown["Plans"][0]["Filter"].endswith("…'::text[]) AND s = 'it''s short'")
    assert shown["Rows"] == 1
