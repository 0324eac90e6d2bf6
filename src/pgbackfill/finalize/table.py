"""The table that a job has walked, as it is called now."""

from __future__ import annotations

from dataclasses import dataclass

from pgbackfill.database import catalog
from pgbackfill.database.queries import load
from pgbackfill.database.steps import Guide
from pgbackfill.errors import JobFailed
from pgbackfill.keyset.names import quote_identifier


@dataclass(frozen=True, slots=True)
class Table:
    """`name` is quoted and qualified."""

    oid: int
    schema: str
    name: str


async def find(guide: Guide) -> Table:
    """Raises JobFailed where it was dropped."""
    job = guide.job
    async with guide.work.use() as work, catalog.rolled_back(work):
        row = await work.fetchrow(load("catalog")["table_name"], job.relation)
    if row is None:
        raise JobFailed(f"table {job.table_name} was dropped")
    return Table(job.relation, row["nspname"], f"{quote_identifier(row['nspname'])}.{quote_identifier(row['relname'])}")
