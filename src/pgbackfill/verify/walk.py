"""One pass over what a job has walked: paced, resumable, on a replica where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from time import perf_counter

import asyncpg
import structlog

from pgbackfill.database import catalog, steps
from pgbackfill.database.link import UNREACHABLE
from pgbackfill.database.outcome import LeafMoved
from pgbackfill.database.queries import load
from pgbackfill.database.steps import Guide, Walked
from pgbackfill.database.types import Connection
from pgbackfill.keyset.key import Lower
from pgbackfill.keyset.statement import Change

from .criterion import NotVerifiable, criterion
from .looks import Looks, keys_as_json
from .place import Place, choose
from .tally import Page, Tally

log = structlog.get_logger()

LISTED_MOST = 10_000
"""Keys that are kept of one pass; all are counted."""


SLICE_BLOCKS = 2_000
"""Of a sample, read by one statement: 16 MiB, less than a second even from a slow disk."""


class Pass:
    """The work of one verification. Raises NotVerifiable where nothing can be told of any row."""

    def __init__(self, guide: Guide, replicas: Sequence[Place], *, listing: bool = True) -> None:
        self._guide = guide
        self._replicas = list(replicas)
        self._listing = listing
        self._place: Place | None = None
        self._changes: dict[int, tuple[Change, str] | None] = {}

    @property
    def place(self) -> str:
        return self._place.name if self._place is not None else "primary"

    async def run(self, tally: Tally) -> Tally:
        """From where `tally` stands to the end; what is found is kept after each page."""
        guide = self._guide
        async with guide.control.use() as control:
            ranges = await steps.walked(control, guide.job.id)
            looks = await self._looks(control)
            if self._listing and tally.ordinal < 0:
                await control.execute(load("steps")["forget_mismatches"], guide.job.id)
        total = sum(each.rows for each in ranges)
        for walked in ranges:
            if walked.ordinal < tally.ordinal or (tally.cursor == walked.upper_key and walked.ordinal == tally.ordinal):
                continue
            while (page := await self._page(looks, walked, tally)) is not None:
                tally = tally.add(walked, page)
                await self._keep(walked, page, tally, min(1.0, tally.rows / total))
                if tally.cursor == walked.upper_key:
                    break
        return tally

    async def sample(self, percent: float) -> Tally:
        """Of the rows in `percent` of the blocks, chosen at random; nothing is kept or listed."""
        guide, tally = self._guide, Tally()
        async with guide.control.use() as control:
            ranges = await steps.walked(control, guide.job.id)
            looks = await self._looks(control)
        for walked in whole(ranges):
            found = await self._change(walked.relation)
            if found is None:
                continue
            place = await self._where()
            async with place.link.use() as connection:
                for share in await _slices(connection, walked.relation, percent):
                    await guide.permission()
                    tally = tally.add(walked, await looks.sample(connection, *found, walked, share))
        return tally

    async def _looks(self, control: Connection) -> Looks:
        guide = self._guide
        claim_xid = await control.fetchval(load("steps")["began"], guide.job.id)
        aside = await control.fetch(load("steps")["quarantined_keys"], guide.job.id)
        return Looks(guide.job, guide.options, claim_xid, [tuple(row["key"]) for row in aside])

    async def _change(self, relation: int) -> tuple[Change, str] | None:
        """What the table looks like, and which of its rows are wrong; None where it is no part of the walk any more."""
        if relation not in self._changes:
            job = self._guide.job
            async with self._guide.work.use() as work:
                found = None
                if await catalog.belongs(work, relation, job.relation):
                    change = await catalog.describe_change(work, job, relation)
                    found = (change, await criterion(work, job, change, relation)) if change is not None else None
            self._changes[relation] = found
        return self._changes[relation]

    async def _page(self, looks: Looks, walked: Walked, tally: Tally) -> Page | None:
        """The next page; None where the table has left the walked one, or was dropped."""
        if tally.ordinal == walked.ordinal and tally.cursor is not None:
            lower: Lower | None = Lower(tally.cursor, inclusive=False)
        else:
            lower = Lower(walked.lower_key, walked.lower_inclusive) if walked.lower_key else None
        while (found := await self._change(walked.relation)) is not None:
            rows = await self._guide.permission()
            place = await self._where()
            began = perf_counter()
            try:
                async with place.link.use() as connection:
                    page = await looks.page(connection, *found, walked.relation, lower, walked.upper_key, rows)
                if page.keys and place.link is not self._guide.work:  # what fails a job is not left to a replica's word
                    async with self._guide.work.use() as connection:
                        page = await looks.page(connection, *found, walked.relation, lower, walked.upper_key, rows)
            except asyncpg.ReadOnlySQLTransactionError as error:
                raise NotVerifiable("its clauses write, which a look at the rows must not") from error
            except (LeafMoved, asyncpg.UndefinedTableError):
                del self._changes[walked.relation]
            except (asyncpg.PostgresError, *UNREACHABLE) as error:
                # Rows that a replica has to remove, a right that its login lacks: the primary answers, too.
                if place.link is self._guide.work:
                    raise
                log.warning("verification goes on on the primary", replica=place.name, reason=str(error))
                self._place = Place("primary", self._guide.work)
            else:
                self._guide.spent(page.rows, perf_counter() - began)
                await self._guide.worked()
                return page
        return None

    async def _where(self) -> Place:
        if self._place is None:
            async with self._guide.control.use() as control:
                self._place = await choose(control, self._guide.work, self._replicas)
        return self._place

    async def _keep(self, walked: Walked, page: Page, tally: Tally, share: float) -> None:
        if self._listing and page.keys and tally.mismatches - len(page.keys) < LISTED_MOST:
            async with self._guide.control.use() as control:
                listed = keys_as_json(page.keys[:LISTED_MOST])
                await control.execute(load("steps")["note_mismatches"], self._guide.job.id, walked.relation, listed)
        await self._guide.store(tally.written(), share)


def whole(ranges: Sequence[Walked]) -> list[Walked]:
    """The ranges of each table as one: each of them begins where the one before has ended."""
    found: dict[int, Walked] = {}
    for each in ranges:
        first = found.get(each.relation, each)
        found[each.relation] = replace(first, upper_key=each.upper_key, rows=first.rows + each.rows)
    return list(found.values())


async def _slices(connection: Connection, relation: int, percent: float) -> list[float]:
    """The percentages of single statements that make up `percent` of the table."""
    table = await connection.fetchrow(load("catalog")["relation_blocks"], relation)
    blocks = max(1, table["blocks"]) if table is not None else 1
    number = max(1, ceil(percent / 100 * blocks / SLICE_BLOCKS))
    return [percent / number] * number
