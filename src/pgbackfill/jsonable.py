"""Values as JSON has them: dates and decimals as text and numbers, and no secrets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pgbackfill.redact import redact


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
