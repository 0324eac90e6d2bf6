"""The chunk size follows the chunk's own time and WAL."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.control.decision import ChunkSample, Outcome
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.sizer import FIRST_CHUNK_ROWS, Caps, ChunkSizer, two_digits


def committed(rows: int, seconds: float, *, scanned: int | None = None, wal: int = 0) -> ChunkSample:
    scanned = rows if scanned is None else scanned
    return ChunkSample(Outcome.COMMITTED, rows, scanned, scanned, wal, seconds)


def failed(rows: int, outcome: Outcome, seconds: float = 0.1) -> ChunkSample:
    return ChunkSample(outcome, rows, 0, 0, 0, seconds)


def run(sizer: ChunkSizer, chunks: int, *, row_s: float, row_wal: int = 0, overhead_s: float = 0.001) -> list[int]:
    sizes = []
    for _ in range(chunks):
        rows = sizer.rows()
        sizes.append(rows)
        sizer.observe(committed(rows, overhead_s + rows * row_s, wal=rows * row_wal))
    return sizes


def test_a_small_first_chunk_ramps_to_the_target_within_six() -> None:
    sizer = ChunkSizer(PacingOptions())
    sizes = run(sizer, 7, row_s=4e-6)
    assert sizes[0] == FIRST_CHUNK_ROWS
    assert all(later <= 4 * earlier for earlier, later in itertools.pairwise(sizes))
    assert 0.85 <= sizes[6] * 4e-6 / 0.1 <= 1.05


def test_at_the_target_the_size_stays_the_same() -> None:
    sizer = ChunkSizer(PacingOptions())
    run(sizer, 10, row_s=4e-6)
    assert len(set(run(sizer, 50, row_s=4e-6))) == 1


def test_one_slow_chunk_cuts_at_once() -> None:
    sizer = ChunkSizer(PacingOptions())
    run(sizer, 10, row_s=4e-6)
    before = sizer.rows()
    sizer.observe(committed(before, 0.5))
    assert sizer.rows() <= before * 0.21


def test_wal_bytes_bind_like_time() -> None:
    sizer = ChunkSizer(PacingOptions())
    sizes = run(sizer, 20, row_s=4e-6, row_wal=8192)
    assert 0.85 * 1024 <= sizes[-1] <= 1.05 * 1024


def test_short_failed_and_lost_chunks_do_not_grow_it() -> None:
    for sample in (
        committed(FIRST_CHUNK_ROWS, 0.001, scanned=3),
        committed(FIRST_CHUNK_ROWS, 0.001, scanned=0),
        failed(FIRST_CHUNK_ROWS, Outcome.LOST, 0.0),
        failed(FIRST_CHUNK_ROWS, Outcome.FAILED, 0.0),
    ):
        sizer = ChunkSizer(PacingOptions())
        sizer.observe(sample)
        assert sizer.rows() == FIRST_CHUNK_ROWS


def test_fast_samples_of_an_older_smaller_size_are_ignored() -> None:
    sizer = ChunkSizer(PacingOptions())
    run(sizer, 10, row_s=4e-6)
    before = sizer.rows()
    sizer.observe(committed(FIRST_CHUNK_ROWS, 0.003))
    assert sizer.rows() == before


def test_a_slow_sample_of_an_older_larger_size_does_not_cut_twice() -> None:
    sizer = ChunkSizer(PacingOptions())
    run(sizer, 10, row_s=4e-6)
    before = sizer.rows()
    for _ in range(5):
        sizer.observe(committed(before, 0.5))
    assert sizer.rows() >= before * 0.19


def test_retries_halve_down_to_one_row_below_the_minimum() -> None:
    sizer = ChunkSizer(PacingOptions(chunk_min_rows=200))
    sizes = []
    for _ in range(12):
        sizes.append(sizer.rows())
        sizer.observe(failed(sizer.rows(), Outcome.RETRY))
    assert sizes[0] == 500
    assert sizes[-1] == 1
    assert all(later <= max(1, earlier / 2) for earlier, later in itertools.pairwise(sizes))
    assert run(sizer, 14, row_s=4e-6)[-1] > 10_000, "grows back fast"


def test_poison_is_found_by_bisection() -> None:
    for bad in (0, 1, 137, 499, 2000, 20_000):
        sizer = ChunkSizer(PacingOptions())
        cursor, failures, chunks = 0, 0, 0
        while cursor <= bad:
            chunks += 1
            rows = sizer.rows()
            if cursor <= bad < cursor + rows:
                failures += 1
                sizer.observe(failed(rows, Outcome.POISON))
                if rows == 1:
                    cursor += 1
            else:
                cursor += rows
                sizer.observe(committed(rows, 0.001 + rows * 4e-6))
            assert chunks < 60
        assert failures <= 18
        assert run(sizer, 14, row_s=4e-6)[-1] > 10_000


def test_caps_from_outside_bind_and_what_was_learned_is_kept() -> None:
    sizer = ChunkSizer(PacingOptions())
    run(sizer, 20, row_s=4e-6, row_wal=100)
    before = sizer.rows()
    sizer.cap(Caps(wal_bytes=100_000))
    assert sizer.rows() == 1000
    run(sizer, 20, row_s=4e-6, row_wal=100)
    assert sizer.rows() == 1000
    sizer.cap(Caps())
    assert sizer.rows() == before


def test_options_are_replaced_live() -> None:
    sizer = ChunkSizer(PacingOptions())
    run(sizer, 10, row_s=4e-6)
    sizer.update(PacingOptions(chunk_max_rows=2000))
    assert sizer.rows() == 2000
    sizer.update(PacingOptions(chunk_min_rows=3000))
    assert sizer.rows() == 3000


def test_sizes_have_two_significant_digits() -> None:
    assert [two_digits(value) for value in (0.3, 1, 9.9, 99.9, 105, 12_345, float("inf"))] == [
        1, 1, 9, 99, 100, 12_000, 10**15,
    ]  # fmt: skip


samples = st.builds(
    ChunkSample,
    outcome=st.sampled_from(Outcome),
    rows_asked=st.integers(1, 100_000),
    rows_scanned=st.integers(0, 100_000),
    rows_changed=st.integers(0, 100_000),
    wal_bytes=st.integers(0, 1 << 40),
    seconds=st.floats(0, 1e6),
)
options = st.builds(
    PacingOptions,
    chunk_target_ms=st.integers(1, 60_000),
    chunk_min_rows=st.integers(1, 100),
    chunk_max_rows=st.integers(100, 1_000_000),
)


@given(options, st.lists(samples, max_size=40), st.booleans())
def test_any_history_gives_a_size_within_bounds(
    chosen: PacingOptions, history: list[ChunkSample], as_asked: bool
) -> None:
    sizer, bisected = ChunkSizer(chosen), False
    for sample in history:
        before = sizer.rows()
        if as_asked:
            sample = ChunkSample(
                sample.outcome, before, min(before, sample.rows_scanned), 0, sample.wal_bytes, sample.seconds
            )
        sizer.observe(sample)
        bisected = bisected or sample.outcome is Outcome.POISON
        assert 1 <= sizer.rows() <= chosen.chunk_max_rows
        if sample.outcome is Outcome.COMMITTED:
            assert bisected or sizer.rows() >= min(before, two_digits(chosen.chunk_min_rows))
        elif sample.outcome is not Outcome.POISON or sample.rows_asked > 1:  # behind a row that is set aside all is new
            # A failed group is halved, whatever size was to come: here it need not be the one that was asked for.
            half = math.ceil(sample.rows_asked / 2) if sample.outcome is Outcome.POISON else 0
            assert two_digits(sizer.rows()) <= max(before, half)
