"""What a notification says, as JSON. `text` is for people and chats, the rest for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgbackfill.database.notifications import Notification
from pgbackfill.durations import duration
from pgbackfill.jsonable import plain
from pgbackfill.redact import redact

REASON_MOST_CHARS = 600
"""An error quotes the job's SQL; a chat message is no place for all of it, and /api has the rest."""


def notice(told: Notification, job: Mapping[str, Any]) -> dict[str, Any]:
    """`job` is the job's row of `pgbackfill.progress` now. Secrets are taken out."""
    reason = redact(_short(told.reason)) if told.reason is not None else None
    shown = {name: job[name] for name in ("status", "percent", "rows_scanned", "rows_changed", "rows_quarantined")}
    said = f"pgbackfill ({told.database}): {_sentence(told, reason or 'no reason was noted', job)}"
    content = {
        "text": _escaped(said),
        "event": told.kind,
        "id": told.id,
        "job": told.job,
        "database": told.database,
        "at": told.at,
        "reason": reason,
        **shown,
    }
    return {name: plain(value) for name, value in content.items()}


def _sentence(told: Notification, reason: str, job: Mapping[str, Any]) -> str:
    name, at = told.job, f"at {job['percent']:.2f} %"
    match told.kind:
        case "failed":
            return f"{name} failed {at}: {reason}"
        case "held":
            return f"{name} has been held for {duration(told.age_s)} {at}: {reason}"
        case "paused":
            return f"{name} paused itself {at}: {reason}. `pgbackfill resume {name}` lets it go on."
        case _:
            return f"{name} is finished: {_finished(job)}."


def _finished(job: Mapping[str, Any]) -> str:
    parts = [f"{job['rows_scanned']:,} rows scanned, {job['rows_changed']:,} changed"]
    if job["rows_quarantined"]:
        parts.append(f"{job['rows_quarantined']:,} in quarantine")
    if job["started_at"] is not None and job["finished_at"] is not None:
        parts.append(f"in {duration((job['finished_at'] - job['started_at']).total_seconds())}")
    return ", ".join(parts)


def _escaped(text: str) -> str:
    """As Slack wants it: a table that is called `<!channel>` must wake nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _short(text: str) -> str:
    return text if len(text) <= REASON_MOST_CHARS else text[: REASON_MOST_CHARS - 1] + "…"
