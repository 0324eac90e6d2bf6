"""What a row costs, by the sampled chunks: always, on a page's first write, and less where it has room. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pgbackfill.keyset.statement import Form

from .projection import START_S, RowCost, Saving, Work
from .samples import Cost, Locking, Sampled

PAGE_BYTES = 8192

IMAGES_LEAST = 20
"""Fewer page images more or less than the same chunk once more say nothing about what one costs."""

IMAGE_MOST_S = 30e-6
"""Copying and checking 8 kB takes some 5 to 20 µs; more is noise."""

REVISITED_FROM = 4.0
"""Page images for the rows of one page, above which other rows of the page are the business of other chunks: keys in
the order of the heap make 2 or 3 (the old page, the new one, indexes), random ones one a row."""

INDEX_ENTRY_S = 5e-6
"""At most what an index entry of a row that moves to another page takes: 1 to 3 µs on an idle server."""

HOT_WAL = 0.25
"""Write-ahead log of a HOT update as a share of one that moves the row: 0.14 to 0.28, measured on 300-byte rows."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Of the walked table with its partitions. `indexes`: how many a row is in; `hot`: no changed column is in one."""

    heap_bytes: int
    index_bytes: int
    indexes: int
    hot: bool


def work_of(sampled: Sampled, storage: Storage, *, rows: int, form: Form, looked_s: float) -> Work | None:
    """What the projection needs; None where no row was sampled. `looked_s`: how long it took to look at the table."""
    if sampled.locking is not None:
        sampled = _with_locking(sampled, sampled.locking)
    costs = sorted((cost for cost in sampled.costs if cost.rows_scanned > 0), key=lambda cost: cost.place)
    if not costs or rows <= 0:
        return None
    image_bytes, image_s = _image(sampled)
    parts = [_row_cost(cost, sampled.overhead_s, image_bytes, image_s) for cost in costs]
    work = Work(
        rows=rows,
        parts=parts,
        overhead_s=sampled.overhead_s,
        start_s=START_S + looked_s,
        image_bytes=image_bytes,
        image_s=image_s,
        looks_further=form is Form.RANGE,
    )
    images = max(part.page_images for part in parts)
    heap_pages = max(1, storage.heap_bytes // PAGE_BYTES)
    if images * rows / heap_pages <= REVISITED_FROM:
        return work
    # Sampled pages are not imaged a second time, so the first places tell.
    return replace(
        work,
        parts=[replace(part, page_images=images) for part in parts],
        pages=math.ceil((storage.heap_bytes + storage.index_bytes) / PAGE_BYTES),
        room=_saving(parts, storage) if storage.hot and hot_share(costs, storage.indexes) < 0.5 else None,
    )


def hot_share(costs: Sequence[Cost], indexes: int) -> float:
    """The share of the updates that were HOT: those write one record, others two and one for each index."""
    changed = sum(cost.rows_changed for cost in costs)
    if changed == 0:
        return 0.0
    records = sum(cost.wal_records for cost in costs) / changed
    return min(1.0, max(0.0, (2 + indexes - records) / (1 + indexes)))


def _with_locking(sampled: Sampled, locking: Locking) -> Sampled:
    """The same with what locking the changed rows wrote. Pages that were written before make no image again."""
    record = max(0.0, locking.wal_bytes - locking.page_images * PAGE_BYTES) / locking.rows

    def more(cost: Cost, images: float) -> Cost:
        added = cost.rows_changed * images
        wal_bytes = cost.rows_changed * record + added * PAGE_BYTES
        return replace(cost, wal_bytes=cost.wal_bytes + round(wal_bytes), page_images=cost.page_images + round(added))

    images = locking.page_images / locking.rows
    again = [(more(first, images), more(second, 0.0)) for first, second in sampled.again]
    return replace(sampled, costs=[more(cost, images) for cost in sampled.costs], again=again)


def _image(sampled: Sampled) -> tuple[float, float]:
    """Bytes and seconds of one page image: some chunks against the same chunks once more."""
    images = sum(first.page_images - again.page_images for first, again in sampled.again)
    if images < IMAGES_LEAST:
        return 0.0, 0.0
    image_bytes = sum(first.wal_bytes - again.wal_bytes for first, again in sampled.again) / images
    image_s = sum(first.seconds - again.seconds for first, again in sampled.again) / images
    return min(max(0.0, image_bytes), 1.1 * PAGE_BYTES), min(max(0.0, image_s), IMAGE_MOST_S)


def _row_cost(cost: Cost, overhead_s: float, image_bytes: float, image_s: float) -> RowCost:
    rows, images = cost.rows_scanned, cost.page_images
    return RowCost(
        seconds=max(0.0, cost.seconds - overhead_s - images * image_s) / rows,
        wal_bytes=max(0.0, cost.wal_bytes - images * image_bytes) / rows,
        changed=cost.rows_changed / rows,
        page_images=images / rows,
    )


def _saving(parts: Sequence[RowCost], storage: Storage) -> Saving | None:
    changed = sum(part.changed for part in parts)
    if changed == 0:
        return None
    seconds = sum(part.seconds for part in parts) / changed
    wal_bytes = sum(part.wal_bytes for part in parts) / changed
    indexes = storage.indexes
    return Saving(min(seconds * indexes / (1 + indexes), indexes * INDEX_ENTRY_S), wal_bytes * (1 - HOT_WAL))
