"""JSON answers that nobody caches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from pgbackfill.jsonable import plain

_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON."""
    text = json.dumps(plain(content), ensure_ascii=False, allow_nan=False) + "\n"
    return Response(text, status, {**_HEADERS, **(headers or {})}, "application/json")


def refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """`{"error": sentence}`."""
    return answer({"error": sentence}, status, headers)
