"""Chunks of an integer key that end without looking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.keyset.key import KeyColumn, Lower
from pgbackfill.keyset.stride import Stride

TENANTS = (KeyColumn("tenant", "uuid"), KeyColumn("id", "bigint"))


def _after(key: int, *tenant: str) -> Lower:
    return Lower((*tenant, str(key)), inclusive=False)


def _one_in_hundred() -> Stride:
    """Has seen a chunk of tenant a in which one key in a hundred had a row."""
    stride = Stride(TENANTS)
    stride.learn(_after(0, "a"), ("a", "100000"), 1000)
    return stride


def test_nothing_is_guessed_before_a_chunk_was_seen_or_where_the_key_has_gaps() -> None:
    stride = Stride((KeyColumn("id", "bigint"),))
    assert stride.guess(_after(0), ("999",), 100) is None
    stride.learn(_after(0), ("100",), 49)
    assert stride.guess(_after(100), ("999",), 100) is None


@pytest.mark.parametrize("types", [("numeric",), ("integer", "numeric"), ("numeric", "integer"), ("text", "text")])
def test_only_an_integer_behind_columns_of_one_text_a_value_is_guessed(types: tuple[str, ...]) -> None:
    stride = Stride(tuple(KeyColumn(f"k{i}", name) for i, name in enumerate(types)))
    tenant = ("1",) * (len(types) - 1)
    stride.learn(_after(0, *tenant), (*tenant, "1000"), 1000)
    assert stride.guess(_after(1000, *tenant), (*tenant, "9999"), 1000) is None


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


def test_within_a_tenant_a_chunk_goes_as_far_as_the_last_one_was_dense() -> None:
    stride = _one_in_hundred()
    assert stride.daring
    assert stride.guess(_after(100_000, "a"), ("z", "5"), 2000) == ("a", "300000")
    assert stride.guess(_after(100_000, "a"), ("a", "150000"), 2000) == ("a", "150000")
    assert stride.guess(_after(2**63 - 10, "a"), ("z", "5"), 2000) == ("a", str(2**63 - 1))


def test_small_chunks_are_not_guessed_so_that_a_bad_row_is_found_where_it_is() -> None:
    assert _one_in_hundred().guess(_after(100_000, "a"), ("z", "5"), 499) is None


def test_a_tenant_that_ends_and_a_failure_end_the_guessing() -> None:
    stride = _one_in_hundred()
    stride.learn(_after(100_000, "a"), ("a", "300000"), 900, asked=2000)
    assert stride.guess(_after(300_000, "a"), ("z", "5"), 2000) is None
    stride = _one_in_hundred()
    stride.learn(_after(100_000, "a"), ("b", "7000"), 2000)
    assert stride.guess(_after(7000, "b"), ("z", "5"), 2000) is None
    stride = _one_in_hundred()
    stride.failed()
    assert not stride.daring
    assert stride.guess(_after(100_000, "a"), ("z", "5"), 2000) is None


def test_the_density_of_the_next_tenant_is_learned_from_two_short_chunks() -> None:
    stride = _one_in_hundred()
    assert stride.to_scan(10_000) == 10_000
    stride.learn(_after(100_000, "a"), ("a", "1100000"), 3000, asked=10_000)
    assert stride.to_scan(10_000) == 2000
    assert stride.to_scan(700) == 700
    stride.learn(_after(1_100_000, "a"), ("b", "50000"), 2000)
    assert stride.to_scan(10_000) == 2000
    stride.learn(_after(50_000, "b"), ("b", "150000"), 2000)
    assert stride.guess(_after(150_000, "b"), ("z", "5"), 10_000) == ("b", "650000")


def test_tenants_too_small_to_be_learned_get_whole_chunks_again() -> None:
    stride = _one_in_hundred()
    stride.learn(_after(100_000, "a"), ("b", "50000"), 2000)
    stride.learn(_after(50_000, "b"), ("c", "50000"), 2000)
    stride.learn(_after(50_000, "c"), ("d", "50000"), 2000)
    assert stride.to_scan(10_000) == 10_000
    stride = _one_in_hundred()
    stride.learn(_after(100_000, "a"), ("a", "300000"), 100, asked=2000)
    stride.failed()
    assert stride.to_scan(10_000) == 10_000
