"""JSON answers: dates and decimals as text, no secrets, nothing cached."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from pgbackfill.redact import redact

_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON."""
    text = json.dumps(plain(content), ensure_ascii=False, allow_nan=False) + "\n"
    return Response(text, status, {**_HEADERS, **(headers or {})}, "application/json")


def refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """`{"error": sentence}`."""
    return answer({"error": sentence}, status, headers)


def plain(value: Any) -> Any:
    """`value` in JSON's own types. Not-a-number and infinity become null; intervals become seconds."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return redact(value)
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return plain(float(value))
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case _:
            return redact(str(value))
