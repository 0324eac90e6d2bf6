"""Times as people write them (`90s`, `30m`, `1h30m`, `2d`) and as they read them (`3 min 20 s`)."""

from __future__ import annotations

import re
from datetime import timedelta

from pgbackfill.errors import UsageError

_UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_PART = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
_WHOLE = re.compile("".join(rf"(?:{_PART}{unit})?" for unit in _UNITS_S))
MOST = timedelta(days=3650)


def parse_duration(text: str) -> timedelta:
    """Raises UsageError with one sentence where `text` is no duration above 0 and up to ten years."""
    match = _WHOLE.fullmatch(text.strip().lower())
    parts = match.groups() if match is not None else ()
    seconds = sum(float(part) * unit for part, unit in zip(parts, _UNITS_S.values(), strict=False) if part)
    if not 0 < seconds <= MOST.total_seconds():
        raise UsageError(f"{text[:40]!r} is not a duration above 0 and up to 3650d; write it as 90s, 30m, 2h or 1h30m.")
    return timedelta(seconds=seconds)


def duration(seconds: float) -> str:
    """`8 s`, `3 min 20 s`, `2 h 05 min`, `4 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
