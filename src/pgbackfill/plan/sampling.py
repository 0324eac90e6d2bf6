"""Runs a few chunks at different places of the table, by the worker's own chunk transaction, and rolls them back.

What they cost is what the job's chunks will cost, but for the commit. Nothing of them stays but dead row versions, as
after any UPDATE that was rolled back.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator

import anyio

from pgbackfill.control.controller import Controller
from pgbackfill.control.decision import ChunkSample, Outcome, RunChunk
from pgbackfill.control.governor import Governor
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.sizer import FIRST_CHUNK_ROWS
from pgbackfill.database.outcome import NotExactlyLocked
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.explain import read_locks
from pgbackfill.keyset.key import Lower
from pgbackfill.keyset.statement import Form

from .chunk import SampleChunk, opened
from .samples import Cost, Locking, Sampled
from .walk import Walk

PLACES = 12
"""Chunks that are run: the size has reached its target after six, and their spread says how even the table is."""

DUTY = 0.5
"""Share of the time in which chunks run, whatever the job itself may take: nobody waits for a plan."""

SAMPLED_MOST = 0.5
"""Share of a small table that all chunks together may look at: each changed row leaves a dead version behind."""

CAUGHT_UP_BYTES = 8 << 20
"""A replica that has more than one chunk's budget still to replay is waited for."""

PATIENCE_S = 30.0
"""Longest wait for replicas between two chunks; then what was sampled so far has to do."""

POLL_S = 0.1

CONFIRMED_MOST = 4
OUTLIER = 1.5
"""A place whose rows cost so much more than the median is run once more, and the quicker run counts."""

AGAIN = 3
IMAGED_SHARE = 0.1
"""So many chunks that write an image of a page for every tenth row are run once more, to tell what an image costs."""

Place = tuple[Walk, Lower | None, float]


class Sampler:
    """Runs the sample on `work`, which nobody else uses; `control` watches the replicas."""

    def __init__(self, control: Connection, work: Connection, job: Job, options: PacingOptions) -> None:
        self._control = control
        self._work = work
        self._job = job
        self._options = options.model_copy(update={"duty_max": min(options.duty_max, DUTY)})
        self._controller = Controller(Governor(self._options), self._options)
        self._chunk: SampleChunk | None = None
        self._rows_most = FIRST_CHUNK_ROWS

    async def run(self, walks: list[Walk]) -> Sampled:
        """Raises what a chunk raises (JobFailed, asyncpg's errors): the job would meet it as well."""
        rows = sum(walk.rows for walk in walks)
        self._rows_most = max(FIRST_CHUNK_ROWS, round(SAMPLED_MOST * rows / PLACES))
        places = list(_places(walks))
        costs: list[Cost] = []
        overhead_s = await self._overhead(*places[0][:2]) if places else 0.0
        for walk, lower, place in places:
            if (reason := await _behind(self._control)) is not None:
                return Sampled(costs, overhead_s, stopped=reason)
            costs.append(await self._at(walk, lower, place, await self._next()))
        again = [(costs[number], await self._again(places[number], costs[number])) for number in _imaged(costs)]
        locking = await self._locking(places[0][0]) if places and places[0][0].form is not Form.RANGE else None
        return Sampled(await self._confirmed(places, costs), overhead_s, again, locking)

    async def _locking(self, walk: Walk) -> Locking | None:
        """Locks some rows in between the places, whose pages nobody has written yet, and measures that."""
        keys, change = walk.found.keys, walk.change
        if len(keys) < 2 * PLACES:
            return None
        await self._next()
        lower = Lower(keys[len(keys) * 3 // (2 * PLACES)], inclusive=False)
        assert self._chunk is not None
        try:
            await self._chunk.begin(self._options)
            boundary = change.boundary(lower, walk.upper, FIRST_CHUNK_ROWS)
            end = await self._work.fetchrow(boundary.sql, *boundary.arguments)
            if end is None:
                return None
            lock = change.lock_and_count(lower, tuple(end))
            document = await self._work.fetchval(lock.sql, *lock.arguments)
        finally:
            await self._chunk.rollback()
        locked = read_locks(json.loads(document))
        return Locking(locked.rows, locked.wal_bytes, locked.page_images) if locked.rows else None

    async def _again(self, place: Place, cost: Cost) -> Cost:
        await self._next()
        return await self._at(*place, cost.rows_asked)

    async def _confirmed(self, places: list[Place], costs: list[Cost]) -> list[Cost]:
        """The dearest places once more: a stall of the server is no property of the rows."""
        usual = statistics.median(cost.row_s for cost in costs)
        for number in sorted(range(len(costs)), key=lambda number: -costs[number].row_s)[:CONFIRMED_MOST]:
            if costs[number].row_s > OUTLIER * usual and costs[number].rows_scanned > 0:
                once_more = await self._again(places[number], costs[number])
                if once_more.row_s * OUTLIER < costs[number].row_s:
                    costs[number] = once_more
        return costs

    async def _overhead(self, walk: Walk, lower: Lower | None) -> float:
        """Seconds of a chunk of one row: of some the quickest, without the first, which looks at plans."""
        return min([(await self._at(walk, lower, 0.0, 1)).seconds for _ in range(4)][1:])

    async def _next(self) -> int:
        """Waits as the pace says; the rows of the next chunk."""
        while True:
            decision = self._controller.next(now=time.monotonic())
            if isinstance(decision, RunChunk):
                return min(decision.rows, self._rows_most)
            await anyio.sleep(decision.seconds)

    async def _at(self, walk: Walk, lower: Lower | None, place: float, rows: int) -> Cost:
        if self._chunk is None or self._chunk.change is not walk.change:
            self._chunk = opened(self._work, self._job, walk)
        chunk = self._chunk
        chunk.begin_at(lower)
        try:
            result = await chunk.run(rows, self._options, sleep_s=0.0, rows_per_second=None)
        except NotExactlyLocked:  # a trigger drops updates, say: as a lane does
            chunk.form = Form.JOINED
            result = await chunk.run(rows, self._options, sleep_s=0.0, rows_per_second=None)
        sample = ChunkSample(
            Outcome.COMMITTED, rows, result.rows_scanned, result.rows_changed, result.wal_bytes, result.seconds,
            at_end=result.finished,
        )  # fmt: skip
        if rows > 1:
            self._controller.finished(sample, now=time.monotonic())
        plan, wal_bytes = (chunk.report.plan, chunk.report.wal_bytes) if chunk.report is not None else ({}, 0)
        return Cost(
            place, rows, result.rows_scanned, result.rows_changed, result.seconds, wal_bytes,
            int(plan.get("WAL Records", 0)), int(plan.get("WAL FPI", 0)),
        )  # fmt: skip


def _imaged(costs: list[Cost]) -> list[int]:
    """The last chunks for which page images matter."""
    found = [number for number, cost in enumerate(costs) if cost.page_images >= IMAGED_SHARE * cost.rows_scanned > 0]
    return found[-AGAIN:]


def _places(walks: list[Walk]) -> Iterator[Place]:
    """Keys to begin after, spread over all rows; in an order in which early, small chunks are not all from one end."""
    total = sum(walk.rows for walk in walks)
    order = sorted(range(PLACES), key=lambda number: (number * 5 + 2) % PLACES)
    for number in order:
        place = number / PLACES
        wanted = place * total
        for walk in walks:
            if wanted < walk.rows or walk is walks[-1]:
                keys = walk.found.keys
                index = int(len(keys) * min(wanted / max(1, walk.rows), 1.0))
                after = Lower(keys[index - 1], inclusive=False) if index > 0 and keys else None
                yield walk, after or walk.lower, place
                break
            wanted -= walk.rows


async def _behind(control: Connection) -> str | None:
    """Waits until no replica has much to replay; why not, where one does not catch up."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = await control.fetch(load("plan")["replicas_behind"], CAUGHT_UP_BYTES)
        if not found:
            return None
        if time.monotonic() >= until:
            return f"replica {found[0]['name']} has {found[0]['backlog']} still to replay"
        await anyio.sleep(POLL_S)
