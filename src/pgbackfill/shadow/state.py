"""A shadow as `pgbackfill.shadows` holds it. Every step writes its stage in the transaction that does it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from pgbackfill.database.catalog import rolled_back
from pgbackfill.database.failures import first_line
from pgbackfill.database.link import lost
from pgbackfill.database.queries import load
from pgbackfill.database.reports import translated
from pgbackfill.database.types import Connection
from pgbackfill.errors import PgbackfillError, UsageError
from pgbackfill.jobs.failures import Failure, classify
from pgbackfill.keyset.key import KeyColumn
from pgbackfill.keyset.names import quote_identifier

from .statements import Column, Pair


class Stage(StrEnum):
    """What has been done."""

    MADE = "made"
    """The new table exists."""
    FOLLOWING = "following"
    """Triggers keep it in step, for the rows that it has."""
    COPYING = "copying"
    """The job that brings the other rows is enqueued; it may be done. Also after the way back."""
    CUT_OVER = "cut_over"
    """The new table has the name, the old one follows."""
    ABORTED = "aborted"
    DROPPED = "dropped"


ENDED = (Stage.ABORTED, Stage.DROPPED)


@dataclass(frozen=True, slots=True)
class Shadow:
    """`source` and `target` are the oids of the old and the new table, whatever they are called."""

    id: int
    name: str
    stage: Stage
    schema: str
    table_name: str
    shadow_name: str
    old_name: str
    source: int
    target: int
    key_columns: tuple[str, ...]
    own_target: bool
    way_back: bool
    job_name: str | None
    verified_at: datetime | None

    @property
    def swapped(self) -> bool:
        return self.stage is Stage.CUT_OVER

    @property
    def leader(self) -> int:
        """The oid of the table that the application writes."""
        return self.target if self.swapped else self.source

    @property
    def follower(self) -> int:
        return self.source if self.swapped else self.target

    def quoted(self, name: str) -> str:
        return f"{quote_identifier(self.schema)}.{quote_identifier(name)}"

    @property
    def table(self) -> str:
        """The name that the application knows, for statements."""
        return self.quoted(self.table_name)

    @property
    def label(self) -> str:
        """The same for people."""
        return f"{self.schema}.{self.table_name}"

    def function(self, *, swapped: bool) -> str:
        return self.quoted(f"pgbackfill_shadow_{self.id}_{'back' if swapped else 'forth'}")


async def find(connection: Connection, name: str) -> Shadow:
    """The newest shadow of that name. Raises UsageError."""
    with translated():
        row = await connection.fetchrow(load("shadow")["find"], name)
    if row is None:
        raise UsageError(f"There is no shadow {name!r}; `pgbackfill shadow status` lists them.")
    return of_row(row)


async def locked_row(connection: Connection, shadow: Shadow) -> Shadow:
    """The row as it is now, for the rest of the transaction. Raises UsageError where another command was faster."""
    row = await connection.fetchrow(load("shadow")["lock"], shadow.id)
    if row is None or row["stage"] != shadow.stage:
        raise UsageError(f"Another command is at work on the shadow {shadow.name}; look at it with `shadow status`.")
    return of_row(row)


async def move(connection: Connection, shadow: Shadow, stage: Stage) -> None:
    await connection.execute(load("shadow")["move"], shadow.id, stage)


async def pair(connection: Connection, shadow: Shadow, *, swapped: bool | None = None) -> Pair:
    """Leader and follower; with `swapped` as they are to be, by the names that they have then.

    Needs pg_catalog alone in the search path.
    """
    swapped = shadow.swapped if swapped is None else swapped
    leader, follower = (shadow.target, shadow.source) if swapped else (shadow.source, shadow.target)
    columns = await connection.fetch(load("shadow")["columns"], leader, follower, list(shadow.key_columns))
    types = {row["name"]: row["type_before"] for row in columns}
    schemas = sorted({row["type_schema"] for row in columns if row["key"]} - {"pg_catalog"})
    return Pair(
        leader=shadow.table,
        follower=shadow.quoted(shadow.old_name if swapped else shadow.shadow_name),
        function=shadow.function(swapped=swapped),
        key=tuple(KeyColumn(name, types.get(name, "text")) for name in shadow.key_columns),
        columns=tuple(Column(row["name"], row["type_name"], row["always"]) for row in columns),
        search_path=", ".join(["pg_catalog", *map(quote_identifier, schemas), "pg_temp"]),
    )


async def objections(connection: Connection, shadow_name: str, relation: int) -> None:
    """Raises UsageError with everything that cannot be moved from the table `relation`."""
    async with rolled_back(connection):
        found = [row["objection"] for row in await connection.fetch(load("shadow")["objections"], relation)]
    if found:
        raise UsageError(f"{shadow_name} cannot be replaced: {'; and '.join(found)}.")


@asynccontextmanager
async def sentences(what: str) -> AsyncIterator[None]:
    """What Postgres refuses as one sentence; it has rolled the step back."""
    try:
        yield
    except PgbackfillError:
        raise
    except asyncpg.PostgresError as error:
        if lost(error) or classify(error.sqlstate) is Failure.HOLD:
            raise
        raise UsageError(f"{what} was refused and nothing of it done: {first_line(error)}.") from error


def of_row(row: asyncpg.Record) -> Shadow:
    return Shadow(
        id=row["id"],
        name=row["name"],
        stage=Stage(row["stage"]),
        schema=row["schema_name"],
        table_name=row["table_name"],
        shadow_name=row["shadow_name"],
        old_name=row["old_name"],
        source=row["source"],
        target=row["target"],
        key_columns=tuple(row["key_columns"]),
        own_target=row["own_target"],
        way_back=row["way_back"],
        job_name=row["job_name"],
        verified_at=row["verified_at"],
    )
