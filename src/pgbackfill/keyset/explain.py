"""Reads what `EXPLAIN (FORMAT JSON)` says of a chunk: rows, WAL, and whether the plan is one that scales."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LITERAL_SHOWN = 60
"""Characters of a literal that a person is shown: a key or two."""

_LITERAL = re.compile(r"'(?:[^']|'')*'")

Plan = dict[str, Any]
"""One plan node as EXPLAIN prints it in JSON."""


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """What the change did: rows, bytes of its own WAL, and seconds that the server took.

    `rows_scanned` counts the rows of the walked table that a range statement looked at. `lock_wal_bytes` is what the
    statement before, which locked its rows, wrote; where that was measured.
    """

    rows_changed: int
    rows_scanned: int
    wal_bytes: int
    seconds: float
    plan: Plan
    lock_wal_bytes: int = 0


def nodes(plan: Plan) -> Iterator[Plan]:
    """`plan` and everything below it."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def read_change(document: list[Plan], *, returning: bool) -> ChangeReport:
    """The report of a measured change (`EXPLAIN (ANALYZE, WAL, FORMAT JSON)`), `document` as parsed JSON.

    `returning` tells that the statement ends in RETURNING: then the ModifyTable node counts the rows that were really
    changed, which a trigger may have made fewer than those handed to it.
    """
    top = document[0]
    plan = top["Plan"]
    return ChangeReport(
        rows_changed=_rows_changed(plan, returning),
        rows_scanned=sum(_looked_at(node) for node in walked_scans(plan)),
        wal_bytes=int(plan.get("WAL Bytes", 0)),
        seconds=(top.get("Planning Time", 0.0) + top.get("Execution Time", 0.0)) / 1000,
        plan=plan,
    )


@dataclass(frozen=True, slots=True)
class LockReport:
    """What locking rows did. A lock is written into its row, so it makes WAL: a record, and a page image at times."""

    rows: int
    wal_bytes: int
    page_images: int


def read_locks(document: list[Plan]) -> LockReport:
    """The report of a measured `SELECT … FOR UPDATE`, `document` as parsed JSON."""
    plan = document[0]["Plan"]
    rows = sum(_actual(node) for node in nodes(plan) if node["Node Type"] == "LockRows")
    return LockReport(rows, int(plan.get("WAL Bytes", 0)), int(plan.get("WAL FPI", 0)))


def _rows_changed(plan: Plan, returning: bool) -> int:
    modify = next((node for node in nodes(plan) if node["Node Type"] == "ModifyTable"), None)
    if modify is None:
        return 0
    merged = [modify[name] for name in ("Tuples Inserted", "Tuples Updated", "Tuples Deleted") if name in modify]
    if merged:  # MERGE, and INSERT with ON CONFLICT
        conflicting = modify.get("Conflicting Tuples", 0) if modify.get("Conflict Resolution") == "UPDATE" else 0
        return int(sum(merged) + conflicting)
    if returning or _actual(modify):
        return _actual(modify)
    # A person's statement without RETURNING: the rows that were handed to it.
    return sum(_actual(child) for child in modify.get("Plans", ()) if child.get("Parent Relationship") == "Outer")


def _actual(node: Plan) -> int:
    return round(float(node.get("Actual Rows", 0)) * float(node.get("Actual Loops", 1)))


def _looked_at(node: Plan) -> int:
    removed = float(node.get("Rows Removed by Filter", 0)) * float(node.get("Actual Loops", 1))
    return _actual(node) + round(removed)


def walked_scans(plan: Plan) -> list[Plan]:
    """The nodes that read the walked table, which our statements call `t`."""
    return [node for node in nodes(plan) if node.get("Alias") == "t" and node["Node Type"] != "ModifyTable"]


def reads_elsewhere(plan: Plan) -> bool:
    """Whether the plan reads anything but one table row by row: system catalogs leave no recorded dependency."""
    found = list(nodes(plan))
    relations = {node["Alias"] for node in found if "Relation Name" in node}
    return len(relations) > 1 or any(
        node.get("Parent Relationship") in ("SubPlan", "InitPlan") or node["Node Type"] == "Function Scan"
        for node in found
    )


def quote_free(text: str) -> str:
    return text.replace('"', "")


def others_scanned(plan: Plan) -> list[tuple[str, str]]:
    """(schema, table) of every sequential scan of a table other than the walked one, which is called `t`; needs
    `EXPLAIN (VERBOSE)` for the schema."""
    walked = walked_scans(plan)
    return _sequential([node for node in nodes(plan) if node not in walked])


def walked_scanned(plan: Plan) -> list[tuple[str, str]]:
    """The same for the walked table."""
    return _sequential(walked_scans(plan))


def _sequential(found: list[Plan]) -> list[tuple[str, str]]:
    return [
        (node.get("Schema", ""), node.get("Relation Name", "")) for node in found if node["Node Type"] == "Seq Scan"
    ]


def readable(value: Any) -> Any:
    """A plan (or a part of it) for people: without the keys of a whole chunk in its literals."""
    if isinstance(value, dict):
        return {name: readable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [readable(part) for part in value]
    return _LITERAL.sub(_shortened, value) if isinstance(value, str) else value


def _shortened(literal: re.Match[str]) -> str:
    text = literal[0]
    return text if len(text) <= LITERAL_SHOWN else f"{text[:LITERAL_SHOWN]}…'"


def key_scan_problem(plan: Plan, first_column: str, bounds: int) -> str | None:
    """Why the scan of the walked table is not the one that keeps a chunk's cost constant, or None where it is.

    `bounds` is how many ends of the range the statement has: each must be in the index condition, not in a filter.
    """
    scans = walked_scans(plan)
    if not scans:
        return None  # a range that the planner knows to be empty
    node = scans[0]
    if node["Node Type"] not in ("Index Scan", "Index Only Scan"):
        return f"it reads the walked table by a {node['Node Type']} instead of the key's index"
    condition = _LITERAL.sub("''", node.get("Index Cond", ""))
    comparisons = condition.count(" > ") + condition.count(" >= ") + condition.count(" <= ") + condition.count(" < ")
    if comparisons < bounds or quote_free(first_column) not in quote_free(condition):
        index = node.get("Index Name", "")
        return f"index {index} is used with the condition {condition or '(none)'}, which lacks an end of the key range"
    return None


def by_key(plan: Plan, first_column: str) -> bool:
    """Whether the walked table was read by its key, and so every row of the key range was looked at."""
    return bool(walked_scans(plan)) and key_scan_problem(plan, first_column, 1) is None
