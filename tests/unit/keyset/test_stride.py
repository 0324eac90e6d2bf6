"""Chunks of an integer key that end without looking."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.keyset.key import KeyColumn, Lower
from pgbackfill.keyset.stride import Stride


def _after(key: int) -> Lower:
    return Lower((str(key),), inclusive=False)


def test_nothing_is_guessed_before_a_chunk_was_seen_or_where_the_key_has_gaps() -> None:
    stride = Stride((KeyColumn("id", "bigint"),))
    assert stride.guess(_after(0), ("999",), 100) is None
    stride.learn(_after(0), ("100",), 49)
    assert stride.guess(_after(100), ("999",), 100) is None


def test_only_a_single_integer_is_guessed() -> None:
    for key in ((KeyColumn("id", "numeric"),), (KeyColumn("a", "integer"), KeyColumn("b", "integer"))):
        stride = Stride(key)
        stride.learn(_after(0), ("100",), 100)
        assert stride.guess(_after(100), ("999",), 100) is None


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64), st.integers(1, 10**6))
def test_a_guess_holds_at_most_as_many_keys_as_were_asked_for_and_stays_in_the_range(
    cursor: int, left: int, rows: int
) -> None:
    upper = min(cursor + left, 2**63 - 1)
    stride = Stride((KeyColumn("id", "bigint"),))
    stride.learn(_after(0), ("100",), 100)
    guess = stride.guess(_after(cursor), (str(upper),), rows)
    assert guess is not None
    assert cursor <= int(guess[0]) <= upper
    assert int(guess[0]) - cursor <= rows
    assert int(guess[0]) > cursor or upper == cursor
