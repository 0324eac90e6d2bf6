"""What a row costs, by the sampled chunks: always, on a page's first write, and less where it has room. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pgbackfill.keyset.statement import Form

from .projection import START_S, RowCost, Saving, Work
from .sampling import Cost, Sampled

PAGE_BYTES = 8192

IMAGES_LEAST = 20
"""Fewer page images more or less than the same chunk once more say nothing about what one costs."""

REVISITED_FROM = 1.5
"""Page images of all rows over pages, above which chunks meet the same page again and again."""

INDEX_ENTRY_S = 3e-6
"""What an index entry of a row that moves to another page takes: 1 to 3 µs, measured with 1 and with 4 indexes."""

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
    pages = math.ceil((storage.heap_bytes + storage.index_bytes) / PAGE_BYTES)
    if images * rows <= REVISITED_FROM * pages:
        return work
    # Sampled pages are not imaged a second time, so the first places tell.
    return replace(
        work,
        parts=[replace(part, page_images=images) for part in parts],
        pages=pages,
        room=_saving(parts, storage) if storage.hot and hot_share(costs, storage.indexes) < 0.5 else None,
    )


def hot_share(costs: Sequence[Cost], indexes: int) -> float:
    """The share of the updates that were HOT: those write one record, others two and one for each index."""
    changed = sum(cost.rows_changed for cost in costs)
    if changed == 0:
        return 0.0
    records = sum(cost.wal_records for cost in costs) / changed
    return min(1.0, max(0.0, (2 + indexes - records) / (1 + indexes)))


def _image(sampled: Sampled) -> tuple[float, float]:
    """Bytes and seconds of one page image: the last chunk against the same chunk once more."""
    again = sampled.again
    if again is None:
        return 0.0, 0.0
    first = sampled.costs[-1]
    images = first.page_images - again.page_images
    if images < IMAGES_LEAST:
        return 0.0, 0.0
    image_bytes = (first.wal_bytes - again.wal_bytes) / images
    image_s = (first.seconds - again.seconds) / images
    return min(max(0.0, image_bytes), 1.1 * PAGE_BYTES), min(max(0.0, image_s), first.seconds / first.page_images)


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
