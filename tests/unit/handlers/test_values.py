"""What a handler returns is checked before anything is written, and put so that Postgres reads the same value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import pytest

from pgbackfill.handlers.errors import HandlerRaised, WrongAnswer
from pgbackfill.handlers.values import check, encode

COLUMNS = {"n": None, "note": None, "id": "it belongs to the key"}


class Mood(StrEnum):
    HAPPY = "happy"


class Level(Enum):
    HIGH = 3


@dataclass
class Odd:
    value: int = 1


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("ä\\", "ä\\"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2024-01-02T03:04:05.000006+00:00"),
        (date(2024, 1, 2), "2024-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(hours=-1), "-1 days 82800.000000 seconds"),
        (b"\x00a", "\\x0061"),
        (memoryview(b"a"), "\\x61"),
        (Mood.HAPPY, "happy"),
        (Level.HIGH, 3),
        (ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        ({"a": (1, Decimal("2"))}, {"a": [1, "2"]}),
    ],
)
def test_values_are_written_as_postgres_reads_them(value: Any, written: Any) -> None:
    assert encode({"n": value}) == {"n": written}


@pytest.mark.parametrize("value", [Odd(), {"a": float("nan")} | {"b": Odd()}, object(), [object()]])
def test_what_cannot_be_written_is_named_with_its_column(value: Any) -> None:
    with pytest.raises(HandlerRaised, match=r"value of note: .* is not understood; return text that Postgres can read"):
        encode({"note": value})


def test_numbers_keep_every_digit_as_json() -> None:
    assert json.dumps(encode({"n": 12345678901234567890})) == '{"n": 12345678901234567890}'


def test_a_right_answer_is_taken_as_it_is() -> None:
    answer = ({"n": 1}, None, {})
    assert check(answer, 3, COLUMNS, "geo") == list(answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "for each of its 2 rows, not NoneType"),
        ("ab", "for each of its 2 rows, not 2 of them"),
        ([{"n": 1}], "for each of its 2 rows, not 1 of them"),
        (iter([None, None]), "for each of its 2 rows, not list_iterator"),
        ([None, 3], "must return a mapping of columns to values or None for a row, not int"),
        ([None, {"m": 1}], "returned 'm', which is no column of the table"),
        ([None, {"id": 1}], "must not set id: it belongs to the key"),
    ],
)
def test_a_wrong_answer_is_the_handlers_fault(answer: Any, said: str) -> None:
    with pytest.raises(WrongAnswer, match=r"^handler geo ") as caught:
        check(answer, 2, COLUMNS, "geo")
    assert said in str(caught.value)
