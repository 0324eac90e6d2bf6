"""What a request may carry: an empty object, `for`, or `ratio` and `for`; and `since` behind an address."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pgbackfill.durations import parse_duration
from pgbackfill.errors import UsageError


def no_fields(content: Mapping[str, Any]) -> None:
    """Raises UsageError where there are any."""
    if content:
        raise UsageError("This request takes no fields; send {}.")


def pause_fields(content: Mapping[str, Any]) -> timedelta | None:
    """How long a pause lasts; None: until somebody resumes. Raises UsageError."""
    if not content.keys() <= {"for"}:
        raise UsageError('This request takes the field "for" only; send {} or {"for": "2h"}.')
    return _duration(content["for"]) if "for" in content else None


def throttle_fields(content: Mapping[str, Any]) -> tuple[float, timedelta]:
    """The share of the pace, above 0 and below 1, and for how long. Raises UsageError."""
    if content.keys() != {"ratio", "for"}:
        raise UsageError('This request takes the fields "ratio" and "for"; send {"ratio": 0.5, "for": "30m"}.')
    ratio = content["ratio"]
    if ratio == 0 and not isinstance(ratio, bool):
        raise UsageError("ratio must be above 0; use pause to stop the work.")
    if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 < ratio < 1:
        raise UsageError("ratio must be a number above 0 and below 1, as in 0.5 for half of the pace.")
    return float(ratio), _duration(content["for"])


def since_parameter(parameters: Mapping[str, str]) -> float:
    """Seconds since 1970, 0 where nothing is said. Raises UsageError."""
    if not parameters.keys() <= {"since"}:
        raise UsageError("This address takes the parameter since only, as in ?since=1767225600.")
    try:
        since = float(parameters.get("since", "0"))
    except ValueError:
        since = math.nan
    if not math.isfinite(since):
        raise UsageError("since must be a number of seconds since 1970, as in ?since=1767225600.")
    return since


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise UsageError('"for" must be a text such as "30m".')
    return parse_duration(value)
