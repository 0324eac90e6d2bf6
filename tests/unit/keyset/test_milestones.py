"""Keys that part a range evenly."""

from __future__ import annotations

import pytest

from pgbackfill.keyset.cuts import Sample, cut
from pgbackfill.keyset.key import Arguments, KeyColumn
from pgbackfill.keyset.milestones import COMPARED_MAX, MILESTONES_MAX, milestones, passed


def sampled(rows: int) -> Sample:
    """Every key of a table of so many rows, ten rows apart in the key."""
    return Sample([(str(10 * i),) for i in range(1, rows + 1)], list(range(1, rows + 1)), rows, rows)


@pytest.mark.parametrize("ranges", [1, 4, 7])
def test_every_range_is_parted_evenly_within_its_bounds(ranges: int) -> None:
    sample = sampled(7000)
    pieces = cut(sample, ("70000",), ranges)
    found = milestones(sample, pieces)
    begin = 0
    for piece, keys in zip(pieces, found, strict=True):
        assert len(keys) == MILESTONES_MAX
        places = [int(key) for (key,) in keys]
        apart = (int(piece.upper[0]) - begin) / (MILESTONES_MAX + 1)
        assert [round((place - begin) / apart) for place in places] == list(range(1, MILESTONES_MAX + 1))
        assert begin < places[0]
        assert places[-1] < int(piece.upper[0])
        begin = int(piece.upper[0])


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_few_rows_have_few_milestones(rows: int) -> None:
    (keys,) = milestones(sampled(rows), cut(sampled(rows), (str(10 * rows),), 1))
    assert len(keys) == rows


def test_the_next_few_are_compared_in_the_type_of_the_key() -> None:
    columns = [KeyColumn("a", "integer"), KeyColumn("b", "text")]
    arguments = Arguments(["x"])
    sql = passed(columns, ("5", "e"), [(str(i), "m") for i in range(10)], arguments)
    assert sql.count(">=") == COMPARED_MAX
    assert sql.startswith("CAST((CAST($2::text AS integer), CAST($3::text AS text)) >= (CAST($4::text AS integer)")
    assert arguments.values[:5] == ["x", "5", "e", "0", "m"]


def test_nothing_ahead_asks_for_nothing() -> None:
    arguments = Arguments(["x"])
    assert passed([KeyColumn("a", "integer")], ("5",), [], arguments) == "0"
    assert arguments.values == ["x"]
