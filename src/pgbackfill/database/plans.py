"""Looks at the plans of a chunk on the first chunk and as chunks grow, before they run."""

from __future__ import annotations

import json
from typing import Any

from pgbackfill.errors import JobFailed
from pgbackfill.keyset.explain import key_scan_problem, others_scanned, readable, walked_scanned
from pgbackfill.keyset.statement import Change, Form, Statement

from .queries import load
from .types import Connection

GROWTH = 4
"""Plans are looked at again when chunks have grown by this factor: a handful of times on the way to the largest."""

LARGE_PAGES = 12_800
"""100 MiB: reading that much from cache takes about as long as a whole chunk should (30 to 60 ms)."""


class PlanGuard:
    """Refuses a chunk whose cost would depend on the size of a table."""

    def __init__(self, connection: Connection, change: Change, form: Form) -> None:
        self._connection = connection
        self._change = change
        self._form = form
        self._checked: dict[str, int] = {}

    async def check_scan(self, statement: Statement, rows: int, *, ends: int) -> None:
        """`ends`: how many ends of the key range the statement has."""
        if self._due(f"scan{ends}", rows):
            plan = await self._explain(statement)
            self._refuse(await self._key_problem(plan, ends), plan)
            self._checked[f"scan{ends}"] = rows

    def change_due(self, rows: int) -> bool:
        """Whether the plan of the change is to be looked at before a chunk of so many rows."""
        return self._due("change", rows)

    async def check_change(self, statement: Statement, rows: int) -> bool:
        """Whether the walked table itself, being large, would be read from end to end.

        For a range that is a misjudgement, of two-sided ranges of composite keys above all. For keys that are given
        one by one it is the cheaper way: their number is known, so it is chosen only for a large share of the table.
        """
        plan = await self._explain(statement)
        problem = await self._key_problem(plan, 1) if self._form is Form.RANGE else None
        self._refuse(problem or await self._scan_problem(others_scanned(plan)), plan)
        self._checked["change"] = rows  # not before: a look that failed, at a lock for example, is taken again
        return await self._scan_problem(walked_scanned(plan)) is not None

    def _due(self, what: str, rows: int) -> bool:
        return rows >= GROWTH * self._checked.get(what, 0)

    async def _explain(self, statement: Statement) -> dict[str, Any]:
        text = await self._connection.fetchval(
            f"{self._change.comment}EXPLAIN (VERBOSE, FORMAT JSON) {statement.sql}", *statement.arguments
        )
        plan: dict[str, Any] = json.loads(text)[0]["Plan"]
        return plan

    async def _key_problem(self, plan: dict[str, Any], ends: int) -> str | None:
        return key_scan_problem(plan, self._change.key[0].name, ends)

    async def _scan_problem(self, scans: list[tuple[str, str]]) -> str | None:
        for schema, table in scans:
            pages = await self._connection.fetchval(load("catalog")["relation_pages"], schema, table)
            if pages is not None and pages > LARGE_PAGES:
                return (
                    f"every chunk would read all {pages * 8 // 1024} MiB of {schema}.{table} from end to end;"
                    " create an index that the job's SQL can use"
                )
        return None

    def _refuse(self, problem: str | None, plan: dict[str, Any]) -> None:
        if problem is not None:
            raise JobFailed(f"the plan of a chunk does not scale: {problem}; plan: {json.dumps(readable(plan))}")
