"""What a handler returned, checked and written as JSON, which Postgres reads by each column's own type. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from math import isfinite
from typing import Any
from uuid import UUID

from .errors import HandlerRaised, WrongAnswer

TEXTS = (
    Decimal, UUID, IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
)  # fmt: skip
"""What Postgres reads as Python prints it."""


def check(answer: Any, rows: int, writable: Mapping[str, str | None], handler: str) -> list[Mapping[str, Any] | None]:
    """The answer for each of so many rows. Raises WrongAnswer, where no row is to blame.

    `writable` names every column of the table; its value says why that column cannot be set, or is None.
    """
    if not isinstance(answer, Sequence) or isinstance(answer, str | bytes) or len(answer) != rows:
        shown = f"{len(answer)} of them" if isinstance(answer, Sequence) else type(answer).__name__
        raise WrongAnswer(
            f"handler {handler} must return a list with a mapping or None for each of its {rows} rows, not {shown}"
        )
    for values in answer:
        if values is None:
            continue
        if not isinstance(values, Mapping):
            raise WrongAnswer(
                f"handler {handler} must return a mapping of columns to values or None for a row,"
                f" not {type(values).__name__}"
            )
        for column in values:
            if column not in writable:
                raise WrongAnswer(f"handler {handler} returned {column!r}, which is no column of the table")
            if (why := writable[column]) is not None:
                raise WrongAnswer(f"handler {handler} must not set {column}: {why}")
    return list(answer)


def encode(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that `json.dumps` writes so that Postgres reads them back. Raises HandlerRaised for one that it cannot."""
    encoded = {}
    for column, value in values.items():
        try:
            encoded[column] = _plain(value)
            json.dumps(encoded[column], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise HandlerRaised(f"{type(error).__name__}: value of {column}: {error}") from None
    return encoded


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str() if not isinstance(value, Enum):
            return value
        case float():
            return value if isfinite(value) else str(value)  # nan, inf and -inf are what Postgres reads
        case Enum():
            return _plain(value.value)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return f"{value.days} days {value.seconds}.{value.microseconds:06} seconds"
        case bytes() | bytearray() | memoryview():
            return "\\x" + bytes(value).hex()
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(each) for each in value]
        case _ if isinstance(value, TEXTS):
            return str(value)
    raise TypeError(f"{type(value).__name__} is not understood; return text that Postgres can read")
