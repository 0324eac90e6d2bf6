"""Times as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pgbackfill.durations import parse_duration
from pgbackfill.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), (" 2D ", 172_800), ("0.5s", 0.5), ("1d2h3m4s", 93_784)],
)
def test_units_add_up(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "soon", "0s", "-5m", "30m2h", "3651d", "99999999999d", "1 h", "\u0663m"])
def test_what_is_no_duration_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="write it as 90s, 30m, 2h or 1h30m"):
        parse_duration(text)
