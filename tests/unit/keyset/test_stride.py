"""A chunk that ends at a guessed key never holds more rows than were asked for, and never passes the bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.keyset.key import KeyColumn, Lower
from pgbackfill.keyset.stride import DENSE, Stride

BIGINT = (KeyColumn("id", "bigint"),)


@given(
    keys=st.sets(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60)
    | st.sets(st.integers(0, 200), min_size=1, max_size=120),
    rows=st.integers(1, 40),
)
def test_a_walk_by_guesses_and_scans_meets_every_key_once_and_never_too_many(keys: set[int], rows: int) -> None:
    ordered = sorted(keys)
    upper = (str(ordered[-1]),)
    stride = Stride(BIGINT)
    cursor: int | None = None
    met: list[int] = []
    while cursor is None or cursor < ordered[-1]:
        lower = Lower((str(cursor),), inclusive=False) if cursor is not None else None
        left = [key for key in ordered if cursor is None or key > cursor]
        guess = stride.guess(lower, upper, rows)
        end = int(guess[0]) if guess is not None else left[min(rows, len(left)) - 1]
        chunk = [key for key in left if key <= end]
        assert len(chunk) <= rows
        assert end <= ordered[-1]
        stride.learn(lower, (str(end),), len(chunk))
        met += chunk
        cursor = end
    assert met == ordered


def test_the_first_chunk_is_scanned_for() -> None:
    assert Stride(BIGINT).guess(None, ("100",), 10) is None


def test_a_sparse_chunk_ends_guessing_and_a_dense_one_begins_it() -> None:
    stride = Stride(BIGINT)
    lower = Lower(("0",), inclusive=False)
    stride.learn(lower, ("100",), int(DENSE * 100))
    assert stride.guess(lower, ("1000",), 10) == ("10",)
    stride.learn(lower, ("100",), int(DENSE * 100) - 1)
    assert stride.guess(lower, ("1000",), 10) is None


@pytest.mark.parametrize(
    "key",
    [(KeyColumn("a", "integer"), KeyColumn("b", "bigint")), (KeyColumn("u", "uuid"),), (KeyColumn("n", "numeric"),)],
)
def test_only_a_single_integer_can_be_counted_on(key: tuple[KeyColumn, ...]) -> None:
    stride = Stride(key)
    lower = Lower(tuple("1" for _ in key), inclusive=False)
    stride.learn(lower, lower.key, 100)
    assert stride.guess(lower, lower.key, 10) is None
