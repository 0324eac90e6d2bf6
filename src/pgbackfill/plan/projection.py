"""How long a job will take and how much WAL it will write: the decision core in a closed loop against sampled costs.

The core that will decide about the job's chunks decides here about imagined ones: its ramp, its chunk sizes and its
limits (`duty_max`, `max_rows_per_s`, `max_wal_bytes_per_s`) are in the projection because they are in the core. Pure.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pgbackfill.control.controller import Controller
from pgbackfill.control.decision import ChunkSample, Outcome, Wait
from pgbackfill.control.governor import Governor
from pgbackfill.control.options import PacingOptions
from pgbackfill.keyset.reach import Reach

BETWEEN_S = 0.002
"""Storing the cursor, COMMIT and the worker's own time between two chunks, which a sampled chunk does not have."""

START_S = 0.06
"""From the start of a job to its first chunk, beside what the plan itself took to look at the table."""

STEPS_MOST = 20_000
"""Decisions that are simulated, about a second of work; what is left by then is taken to go on at the same rate."""

MARGIN_LEAST, MARGIN_MOST = 0.25, 1.0
"""Of the range around an estimate: at least what a noisy server makes of the same job twice."""

MARGIN_OF_MODEL = 1.0
"""Where most of the job's updates will be cheaper than those that could be sampled."""


@dataclass(frozen=True, slots=True)
class RowCost:
    """What a row costs in one part of the walk. `changed` is the share of rows that are; `page_images` full-page images
    per scanned row while no page was written since the last checkpoint."""

    seconds: float
    wal_bytes: float
    changed: float
    page_images: float


@dataclass(frozen=True, slots=True)
class Saving:
    """What a row saves by a HOT update on a page that an earlier chunk has made room on."""

    seconds: float
    wal_bytes: float


@dataclass(frozen=True, slots=True)
class Work:
    """`parts` are equal shares of the walk in key order. An image of a page costs `image_bytes` and `image_s`.

    `pages` (of heap and indexes) is None where chunks meet ever new pages; where keys lie all over the heap, each page
    is imaged once, and later chunks find room on the pages of earlier ones.
    """

    rows: int
    parts: Sequence[RowCost]
    overhead_s: float
    start_s: float = 0.0
    image_bytes: float = 0.0
    image_s: float = 0.0
    pages: int | None = None
    room: Saving | None = None
    looks_further: bool = False


@dataclass(frozen=True, slots=True)
class Projection:
    """`margin` is relative: the range is estimate / (1 + margin) to estimate * (1 + margin)."""

    seconds: float
    wal_bytes: float
    chunks: int
    chunk_rows: int
    rows_changed: int
    margin: float

    def around(self, value: float) -> tuple[float, float]:
        return value / (1 + self.margin), value * (1 + self.margin)


def project(work: Work, options: PacingOptions) -> Projection:
    """Runs the decision core over `work.rows` rows."""
    controller, reach = Controller(Governor(options), options), Reach()
    imagined = _Imagined(work)
    now = work.start_s
    chunks = scanned = rows = 0
    half: tuple[float, int, float] | None = None
    for step in range(STEPS_MOST):
        if scanned >= work.rows:
            break
        decision = controller.next(now=now)
        if isinstance(decision, Wait):
            now += decision.seconds
            continue
        if half is None and step >= STEPS_MOST // 2:
            half = now, scanned, imagined.wal_bytes
        rows = min(work.rows - scanned, decision.rows * (reach.factor if work.looks_further else 1))
        sample = imagined.chunk(decision.rows, rows, scanned)
        scanned, chunks = scanned + rows, chunks + 1
        now += sample.seconds + BETWEEN_S
        controller.finished(sample, now=now)
        reach.learn(
            scanned=rows, changed=sample.rows_changed, seconds=sample.seconds, target_s=options.chunk_target_ms / 1000
        )
    wal_bytes, left = imagined.wal_bytes, work.rows - scanned
    if left > 0 and half is not None and scanned > half[1]:
        more = left / (scanned - half[1])
        now += more * (now - half[0])
        wal_bytes += more * (wal_bytes - half[2])
    share = work.rows / max(1, scanned)
    return Projection(now, wal_bytes, math.ceil(chunks * share), rows, round(imagined.changed * share), _margin(work))


class _Imagined:
    """The server: what a chunk would cost, and what earlier ones did to the pages."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.wal_bytes = self.changed = self._imaged = self._room = 0.0

    def chunk(self, asked: int, rows: int, scanned: int) -> ChunkSample:
        work = self._work
        part = work.parts[min(len(work.parts) - 1, scanned * len(work.parts) // work.rows)]
        images, hot, changed = rows * part.page_images, 0.0, rows * part.changed
        if work.pages is not None:
            images *= max(0.0, 1 - self._imaged / max(1, work.pages))
            self._imaged += images
        if work.room is not None and changed > 0:
            # Each row that moved to another page left room on its own; a chunk's rows find it at random.
            hot = changed * (1 - math.exp(-self._room / changed))
            self._room += changed - hot
        saving = work.room or Saving(0.0, 0.0)
        seconds = work.overhead_s + rows * part.seconds + images * work.image_s - hot * saving.seconds
        wal_bytes = rows * part.wal_bytes + images * work.image_bytes - hot * saving.wal_bytes
        self.wal_bytes += wal_bytes
        self.changed += changed
        at_end = scanned + rows >= work.rows
        return ChunkSample(Outcome.COMMITTED, asked, rows, round(changed), round(wal_bytes), seconds, at_end=at_end)


def _margin(work: Work) -> float:
    """How far the mean of the parts may be off (two standard errors), between bounds."""
    costs = [part.seconds for part in work.parts]
    mean = sum(costs) / len(costs)
    if len(costs) < 3 or mean <= 0:
        return MARGIN_MOST
    least = MARGIN_OF_MODEL if work.room is not None else MARGIN_LEAST
    return min(MARGIN_MOST, max(least, 2 * statistics.stdev(costs) / math.sqrt(len(costs)) / mean))
