"""Jobs as tables: with lines and colours on a terminal, else columns between tabs, for awk and people alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgbackfill.cli.words import clock, percent
from pgbackfill.durations import duration
from pgbackfill.redact import redact

_COLOURS: Final = {"running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow", "paused": "yellow"}
# What fits a terminal; a pipe and --json get every column.
_RANGE_COLUMNS: Final = {
    "range": "ordinal", "table": "relation", "status": "status", "chunks": "chunk_no", "scanned": "rows_scanned",
    "changed": "rows_changed", "set aside": "rows_quarantined", "worker": "worker", "held by": "hold_reason",
}  # fmt: skip


def jobs_table(rows: Sequence[Mapping[str, Any]], *, terminal: bool) -> None:
    """One line for each row of `pgbackfill.progress`."""
    if not rows and terminal:
        Console().print("There are no jobs; `pgbackfill enqueue` or an INSERT INTO pgbackfill.jobs makes one.")
        return
    header = ("job", "status", "percent", "scanned", "changed", "rows/s", "left", "why")
    _print("", header, [_summary(row) for row in rows], terminal=terminal)


def job_page(job: Mapping[str, Any], *, terminal: bool) -> None:
    """Everything about one job."""
    skipped = ("hazards", "ranges", "steps", "events", "quarantine")
    facts = [(name, _text(value)) for name, value in job.items() if name not in skipped and value is not None]
    _print("", ("", job["name"]), facts, terminal=terminal)
    for part in skipped:
        rows = job.get(part)
        if rows is None:
            _print(f"{part}: this login may not read them", (), [], terminal=terminal)
        elif rows and terminal and part == "ranges":
            _print(part, tuple(_RANGE_COLUMNS), [_range(row) for row in rows], terminal=True)
        elif rows:
            _print(
                part, tuple(rows[0]), [tuple(_text(value) for value in row.values()) for row in rows], terminal=terminal
            )


def quarantine_table(rows: Sequence[Mapping[str, Any]], *, terminal: bool) -> None:
    """One line for each quarantined row."""
    lines = [(", ".join(row["key"]), row["sqlstate"], redact(row["message"]), _text(row["at"])) for row in rows]
    _print("", ("key", "sqlstate", "message", "at"), lines, terminal=terminal)


def shadows_table(rows: Sequence[Mapping[str, Any]], *, terminal: bool) -> None:
    """One line for each shadow."""
    header = ("shadow", "table", "stage", "copy", "percent", "old rows", "new rows", "verified", "next")
    lines = [
        (
            str(row["name"]), f"{row['schema_name']}.{row['table_name']}", str(row["stage"]), _text(row["job_status"]),
            _text(row["percent"]), f"~{_text(row['old_rows_estimated'])}", f"~{_text(row['new_rows_estimated'])}",
            _text(row["verified_at"]), str(row["next"]),
        )
        for row in rows
    ]  # fmt: skip
    _print("", header, lines, terminal=terminal)


def _range(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_text(row[column]) for column in _RANGE_COLUMNS.values())


def _summary(row: Mapping[str, Any]) -> tuple[str, ...]:
    status = str(row["status"])
    wanted = {"run": "", "pause": "paused", "cancel": "cancelled"}[row["desired_state"]]
    finished = status in ("succeeded", "failed", "cancelled")
    step = f"{row['step']} {row['step_percent'] or 0:g} %" if row.get("step") else ""
    why = (
        row["hold_reason"] or step or (f"asked to be {wanted}" if wanted and wanted != status and not finished else "")
    )
    if row["throttle_ratio"] is not None:
        at_most = f"throttled to {percent(row['throttle_ratio'])} until {clock(row['throttle_until'])}"
        why = f"{why}; {at_most}" if why else at_most
    if row["pause_until"] is not None and not finished:
        why = f"{why}{'; ' if why else ''}until {clock(row['pause_until'])}"
    if row["rows_quarantined"]:
        why = f"{row['rows_quarantined']:,} quarantined{'; ' if why else ''}{why}"
    return (
        str(row["name"]), status, f"{row['percent']:.2f}", f"{row['rows_scanned']:,}", f"{row['rows_changed']:,}",
        "" if row["rows_per_second"] is None else f"{row['rows_per_second']:,.0f}",
        _left(row), redact(why),
    )  # fmt: skip


def _left(row: Mapping[str, Any]) -> str:
    """How long it takes yet; while nothing moves nobody can say."""
    low, high = row["eta_low"], row["eta_high"]
    if low is None or high is None:
        held = row["status"] == "paused" or (row["status"] == "running" and row["hold_reason"] is not None)
        return "held, no estimate" if held else ""
    first, last = duration(low.total_seconds()), duration(high.total_seconds())
    return first if first == last else f"{first} to {last}"


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case timedelta():
            return duration(value.total_seconds())
        case dict() | list():
            return redact(json.dumps(value, ensure_ascii=False, default=str))
        case _:
            return redact(str(value))


def _print(title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, terminal: bool) -> None:
    if not terminal:
        for line in ((title,) if title else (), header, *rows):
            if line:
                print("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in line))
        return
    if not header:
        Console().print(title, style="dim", markup=False)
        return
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in header:
        numeric = column in ("percent", "scanned", "changed", "rows/s", "rows", "chunks", "set aside")
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(table)
