"""Runs a few chunks at different places of the table, by the worker's own chunk transaction, and rolls them back.

What they cost is what the job's chunks will cost, but for the commit. Nothing of them stays but dead row versions, as
after any UPDATE that was rolled back.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import anyio

from pgbackfill.control.controller import Controller
from pgbackfill.control.decision import ChunkSample, Outcome, RunChunk
from pgbackfill.control.governor import Governor
from pgbackfill.control.options import PacingOptions
from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.outcome import Stage
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Claim, Job
from pgbackfill.keyset import session
from pgbackfill.keyset.explain import ChangeReport
from pgbackfill.keyset.key import KeyText, Lower

from .walk import Walk

PLACES = 12
"""Chunks that are run: the size has reached its target after six, and their spread says how even the table is."""

DUTY = 0.5
"""Share of the time in which chunks run, whatever the job itself may take: nobody waits for a plan."""

CAUGHT_UP_BYTES = 8 << 20
"""A replica that has more than one chunk's budget still to replay is waited for."""

PATIENCE_S = 30.0
"""Longest wait for replicas between two chunks; then what was sampled so far has to do."""

POLL_S = 0.1


CONFIRMED_MOST = 4
OUTLIER = 1.5
"""A place whose rows cost so much more than the median is run once more, and the quicker run counts."""

Place = tuple[Walk, KeyText | None, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one chunk cost. `place` is where it began, 0 to 1; `seconds` the transaction without its commit."""

    place: float
    rows_asked: int
    rows_scanned: int
    rows_changed: int
    seconds: float
    wal_bytes: int
    wal_records: int
    page_images: int

    @property
    def row_s(self) -> float:
        return self.seconds / max(1, self.rows_scanned)


@dataclass(frozen=True, slots=True)
class Sampled:
    """`overhead_s` is what a chunk takes beside its rows; `again` the last chunk once more, its pages all written
    before; `stopped` says why fewer places were sampled than wanted."""

    costs: list[Cost]
    overhead_s: float
    again: Cost | None
    stopped: str | None = None


class SampleChunk(ChunkTransaction):
    """A chunk that begins where it is told, needs no claim, and ends in ROLLBACK."""

    report: ChangeReport | None = None

    def begin_after(self, key: KeyText | None) -> None:
        self.claim = replace(self.claim, lower_key=key, lower_inclusive=key is None)
        self.report = None

    async def _begin(self, options: PacingOptions) -> tuple[KeyText | None, str | None]:
        self.stage = Stage.BEGIN
        job = self.job
        await self.connection.execute(
            session.begin(
                options, search_path=job.search_path, time_zone=job.time_zone, session_settings=job.session_settings
            )
        )
        return None, None

    async def _apply(self, lower: Lower | None, end: KeyText, rows: int) -> ChangeReport | None:
        self.report = await super()._apply(lower, end, rows)
        return self.report

    async def _store(self, *values: Any) -> None:
        await self._rollback()


class Sampler:
    """Runs the sample on `work`, which nobody else uses; `control` watches the replicas."""

    def __init__(self, control: Connection, work: Connection, job: Job, options: PacingOptions) -> None:
        self._control = control
        self._work = work
        self._job = job
        self._options = options.model_copy(update={"duty_max": min(options.duty_max, DUTY)})
        self._controller = Controller(Governor(self._options), self._options)
        self._chunk: SampleChunk | None = None

    async def run(self, walks: list[Walk]) -> Sampled:
        """Raises what a chunk raises (JobFailed, asyncpg's errors): the job would meet it as well."""
        places = list(_places(walks))
        costs: list[Cost] = []
        overhead_s = await self._overhead(*places[0][:2]) if places else 0.0
        for walk, key, place in places:
            if (reason := await _behind(self._control)) is not None:
                return Sampled(costs, overhead_s, None, reason)
            costs.append(await self._at(walk, key, place, await self._next()))
        again = None
        if places and costs[-1].rows_changed:
            await self._next()
            again = await self._at(*places[-1], costs[-1].rows_asked)
        return Sampled(await self._confirmed(places, costs), overhead_s, again)

    async def _confirmed(self, places: list[Place], costs: list[Cost]) -> list[Cost]:
        """The dearest places once more: a stall of the server is no property of the rows."""
        usual = statistics.median(cost.row_s for cost in costs)
        for number in sorted(range(len(costs)), key=lambda number: -costs[number].row_s)[:CONFIRMED_MOST]:
            if costs[number].row_s > OUTLIER * usual and costs[number].rows_scanned > 0:
                await self._next()
                once_more = await self._at(*places[number], costs[number].rows_asked)
                if once_more.row_s * OUTLIER < costs[number].row_s:
                    costs[number] = once_more
        return costs

    async def _overhead(self, walk: Walk, key: KeyText | None) -> float:
        """Seconds of a chunk of one row: of some the quickest, without the first, which looks at plans."""
        return min([(await self._at(walk, key, 0.0, 1)).seconds for _ in range(4)][1:])

    async def _next(self) -> int:
        """Waits as the pace says; the rows of the next chunk."""
        while True:
            decision = self._controller.next(now=time.monotonic())
            if isinstance(decision, RunChunk):
                return decision.rows
            await anyio.sleep(decision.seconds)

    async def _at(self, walk: Walk, key: KeyText | None, place: float, rows: int) -> Cost:
        if self._chunk is None or self._chunk.change is not walk.change:
            self._chunk = _opened(self._work, self._job, walk)
        chunk = self._chunk
        chunk.begin_after(key)
        result = await chunk.run(rows, self._options, sleep_s=0.0, rows_per_second=None)
        sample = ChunkSample(
            Outcome.COMMITTED, rows, result.rows_scanned, result.rows_changed, result.wal_bytes, result.seconds,
            at_end=result.finished,
        )  # fmt: skip
        if rows > 1:
            self._controller.finished(sample, now=time.monotonic())
        plan = chunk.report.plan if chunk.report is not None else {}
        return Cost(
            place, rows, result.rows_scanned, result.rows_changed, result.seconds, result.wal_bytes,
            int(plan.get("WAL Records", 0)), int(plan.get("WAL FPI", 0)),
        )  # fmt: skip


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
                yield walk, (keys[index - 1] if index > 0 and keys else None), place
                break
            wanted -= walk.rows


def _opened(work: Connection, job: Job, walk: Walk) -> SampleChunk:
    assert walk.upper is not None
    claim = Claim(
        range_id=0, job_id=job.id, ordinal=0, relation=walk.relation, epoch=0, token=b"", lower_key=None,
        upper_key=walk.upper,
    )  # fmt: skip
    return SampleChunk(work, job, claim, walk.change, walk.form, lease_s=0.0)


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
