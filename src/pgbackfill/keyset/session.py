"""How a chunk's transaction begins: everything that it depends on, in one simple query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgbackfill.control.options import PacingOptions

from .names import quote_identifier, quote_literal

IDLE_IN_TRANSACTION_MS = 10_000
"""The server ends a chunk whose worker went silent: a multiple of any pause between two statements of one chunk. With a
shorter lease, as early as that: an open chunk keeps its range from whoever is to take it over."""

KEY_TEXT = {"DateStyle": "ISO, YMD", "IntervalStyle": "iso_8601", "bytea_output": "hex", "extra_float_digits": "1"}
"""What the text of a key depends on. Written under `SQL, DMY`, 1 February reads as 2 January under `MDY`."""

STEERED = ("enable_seqscan", "enable_bitmapscan")
"""Off for our own scan: a bitmap scan returns rows, and takes locks, in heap order."""

UNSTEER = "; ".join(f"SET LOCAL {name} TO DEFAULT" for name in STEERED)
"""Before SQL that reads other tables: its plans are the planner's own business."""


def set_local(values: Mapping[str, str]) -> list[str]:
    """One SET LOCAL a setting."""
    return [f"SET LOCAL {quote_setting(name)} = {quote_literal(value)}" for name, value in values.items()]


def quote_setting(name: str) -> str:
    """A setting's name, quoted part by part (`audit.skip` has two)."""
    return ".".join(quote_identifier(part) for part in name.split("."))


def setting_text(value: Any) -> str:
    """A JSON scalar as the text of a setting."""
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def jobs_own(time_zone: str, session_settings: Mapping[str, Any]) -> dict[str, str]:
    """What a job's SQL and its keys mean depends on these: the same wherever they are planned or run."""
    return {
        "row_security": "off",
        "TimeZone": time_zone,
        **KEY_TEXT,
        **{name: setting_text(value) for name, value in session_settings.items()},
    }


def begin(
    options: PacingOptions,
    *,
    search_path: str,
    time_zone: str,
    session_settings: Mapping[str, Any] | None = None,
    lease_s: float = IDLE_IN_TRANSACTION_MS / 1000,
) -> str:
    """The simple query that opens a chunk.

    All settings are set in every chunk, because what a job's SQL sets with `set_config(…, false)` outlives COMMIT.
    Constraints are immediate from the start: whatever fails, fails in the statement and never at COMMIT.
    """
    values = {
        "lock_timeout": str(options.lock_timeout_ms),
        "statement_timeout": str(options.statement_timeout_ms),
        "idle_in_transaction_session_timeout": str(min(IDLE_IN_TRANSACTION_MS, int(lease_s * 1000))),
        "plan_cache_mode": "force_custom_plan",
        "synchronous_commit": options.synchronous_commit,
        **dict.fromkeys(STEERED, "off"),
        **jobs_own(time_zone, session_settings or {}),
    }
    return "; ".join(
        [
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            *set_local(values),
            # A search path is a list: as one quoted literal it would be a single odd schema name.
            f"SELECT pg_catalog.set_config('search_path', {quote_literal(search_path)}, true)",
            "SET CONSTRAINTS ALL IMMEDIATE",
        ]
    )
