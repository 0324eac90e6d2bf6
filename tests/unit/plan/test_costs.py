"""From sampled chunks to what a row costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgbackfill.keyset.statement import Form
from pgbackfill.plan.costs import Storage, hot_share, work_of
from pgbackfill.plan.projection import Work
from pgbackfill.plan.samples import Cost, Locking, Sampled

# Twenty rows a page, one index; every update moves its row: an update, a lock and an entry.
STORAGE = Storage(heap_bytes=50_000 * 8192, index_bytes=3000 * 8192, indexes=1, hot=True)
ROWS = 1_000_000
SEQUENTIAL = Cost(0.5, 1000, 1000, 1000, 0.011, 450_000, 3000, 100)
RANDOM = replace(SEQUENTIAL, seconds=0.026, wal_bytes=8_450_000, page_images=1000)
AGAIN = replace(SEQUENTIAL, page_images=0)


def work(cost: Cost, storage: Storage = STORAGE, **changes: object) -> Work:
    sampled = Sampled([replace(cost, place=place / 4) for place in range(4)], overhead_s=0.001)
    found = work_of(replace(sampled, **changes), storage, rows=ROWS, form=Form.RANGE, looked_s=0.2)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_keys_in_the_order_of_the_heap_meet_ever_new_pages() -> None:
    found = work(SEQUENTIAL)
    assert (found.pages, found.room) == (None, None)
    assert found.parts[0].seconds == pytest.approx(10e-6)
    assert found.parts[0].wal_bytes == pytest.approx(450)


def test_random_keys_come_back_to_pages_that_have_room_by_then() -> None:
    found = work(RANDOM, again=[(RANDOM, AGAIN)] * 3)
    assert found.pages == 53_000
    assert found.image_bytes == pytest.approx(8000)
    assert found.image_s == pytest.approx(15e-6)
    assert found.parts[0].seconds == pytest.approx(10e-6)
    assert found.room is not None
    assert found.room.seconds == pytest.approx(5e-6)


def test_no_room_is_found_by_updates_that_cannot_be_hot_or_were_hot_already() -> None:
    assert work(RANDOM, replace(STORAGE, hot=False)).room is None
    assert work(replace(RANDOM, wal_records=1000)).room is None


def test_the_share_of_hot_updates_follows_from_the_records() -> None:
    assert hot_share([replace(SEQUENTIAL, wal_records=1000)], indexes=1) == 1
    assert hot_share([SEQUENTIAL], indexes=1) == 0
    assert hot_share([replace(SEQUENTIAL, wal_records=6000)], indexes=4) == 0
    assert hot_share([replace(SEQUENTIAL, wal_records=2000)], indexes=1) == pytest.approx(0.5)
    assert hot_share([replace(SEQUENTIAL, rows_changed=0)], indexes=1) == 0


def test_what_locking_writes_is_added() -> None:
    found = work(SEQUENTIAL, locking=Locking(rows=500, wal_bytes=25 * 8192 + 500 * 60, page_images=25))
    assert found.parts[0].wal_bytes == pytest.approx(450 + 60 + 8192 / 20, rel=0.01)
    assert found.parts[0].page_images == pytest.approx(0.15)


def test_without_a_sampled_row_nothing_is_projected() -> None:
    nothing = Sampled([replace(SEQUENTIAL, rows_scanned=0)], overhead_s=0.001)
    assert work_of(nothing, STORAGE, rows=ROWS, form=Form.RANGE, looked_s=0.0) is None
    assert work_of(Sampled([SEQUENTIAL], 0.001), STORAGE, rows=0, form=Form.RANGE, looked_s=0.0) is None
