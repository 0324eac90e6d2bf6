"""A chunk looks further only where almost nothing needs a change, and never through a failure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.keyset.reach import FACTOR_MAX, FROM_ROWS, Reach, far_timeout_ms

SPARSE = {"scanned": 50_000, "changed": 50, "target_s": 0.1}


def far() -> Reach:
    reach = Reach()
    for _ in range(10):
        reach.learn(**SPARSE, seconds=0.005)  # type: ignore[arg-type]
    assert reach.factor == FACTOR_MAX
    return reach


def test_a_dense_chunk_ends_it() -> None:
    reach = far()
    reach.learn(scanned=50_000, changed=501, seconds=0.01, target_s=0.1)
    assert reach.factor == 1


def test_a_failure_ends_it() -> None:
    reach = far()
    reach.failed()
    assert reach.factor == 1


def test_a_slow_chunk_shortens_it_and_a_very_slow_one_ends_it() -> None:
    reach = far()
    reach.learn(**SPARSE, seconds=0.11)  # type: ignore[arg-type]
    assert reach.factor == FACTOR_MAX // 2
    reach.learn(**SPARSE, seconds=0.21)  # type: ignore[arg-type]
    assert reach.factor == 1


def test_small_chunks_stay_small() -> None:
    reach = Reach()
    reach.learn(scanned=FROM_ROWS - 1, changed=0, seconds=0.0001, target_s=0.1)
    assert reach.factor == 1


@given(configured=st.integers(10, 3_600_000), target=st.integers(1, 60_000))
def test_a_chunk_that_may_meet_more_rows_has_little_time_and_never_more_than_others(
    configured: int, target: int
) -> None:
    assert far_timeout_ms(configured, target) == min(configured, 4 * target)
