"""What is so and what was asked, in one sentence for a person at night."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def told(job: Mapping[str, Any]) -> str:
    """What a job does now that it was told to run, pause or be cancelled; `job` is its row of the progress view."""
    name, status, until = job["name"], job["status"], job["pause_until"]
    match job["desired_state"], status:
        case "pause", "paused":
            return f"{name} is paused {f'until {clock(until)}, then it goes on' if until else 'until it is resumed'}."
        case "pause", "running" | "verifying":
            then = f", and goes on at {clock(until)}" if until else ""
            return f"{name} is still running; it pauses when the current chunk has ended{then}."
        case "cancel", "running" | "verifying":
            return f"{name} is still running; it is cancelled when the current chunk has ended."
        case "cancel", "cancelled":
            return f"{name} is cancelled; what it had done stays done."
        case "run", "queued":
            return f"{name} is queued; a daemon goes on with it as soon as it is free."
        case _:
            return f"{name} is {status if status != 'succeeded' else 'done'}."


def as_dry_run(said: str) -> str:
    """A sentence about what would be so."""
    return f"Dry run, nothing was changed. It would say: {said}"


def would_run(name: str, status: str, *, due: bool) -> str:
    """What `run --drain` would do with a job that is not finished."""
    if due:
        return f"{name} is {status}: it would be worked on."
    return f"{name} is {status}{'' if status == 'paused' else ' and not due yet'}: it would be left."


def throttled(job: Mapping[str, Any] | None, ratio: float, until: datetime) -> str:
    """Of one job, or (None) of every job in the database."""
    if job is None:
        return f"Every job of this database makes {percent(ratio)} of its pace until {clock(until)}."
    lower = job["throttle_ratio"]
    said = f"{job['name']} makes {percent(ratio)} of its pace until {clock(until)}"
    if lower is not None and lower < ratio:
        return f"{said}, but until {clock(job['throttle_until'])} every job is held to {percent(lower)}."
    return f"{said}; it is {job['status']} now."


def unthrottled(job: Mapping[str, Any] | None, ended: int) -> str:
    """`ended`: how many throttles there were; `job` is None where all of them were ended."""
    if job is None:
        return f"No job of this database is throttled any more ({ended} throttle{'s' if ended != 1 else ''} ended)."
    said = f"{job['name']} is no longer throttled" if ended else f"{job['name']} had no throttle of its own"
    if job["throttle_ratio"] is None:
        return f"{said}."
    left = f"{percent(job['throttle_ratio'])} of its pace until {clock(job['throttle_until'])}"
    return f"{said} itself, but every job is, to {left}; `pgbackfill throttle --off` ends that."


def percent(ratio: float) -> str:
    return f"{100 * ratio:g} %"


def clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def happened(event: Mapping[str, Any]) -> str:
    """`22:13:05Z alice: desired_state run → pause`; `event` is a row of `pgbackfill.events`."""
    detail = event["detail"] if isinstance(event["detail"], dict) else {}
    said = f"{event['at'].astimezone(UTC).strftime('%H:%M:%SZ')} {event['actor']}: {event['event']}"
    if "from" in detail and "to" in detail:
        said += f" {_change(detail['from'], detail['to'])}"
    if "ratio" in detail and event["event"] == "throttled":
        said += f" to {percent(detail['ratio'])}"
    if "until" in detail:
        said += f" until {clock(datetime.fromisoformat(detail['until']))}"
    why = detail.get("reason") or detail.get("error")
    return " ".join((f"{said}: {why}" if why else said).split())


def _change(before: Any, after: Any) -> str:
    """`run → pause`; of options those that are others now."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return f"{before} → {after}"
    names = [name for name in before | after if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {before.get(name, 'unset')} → {after.get(name, 'unset')}" for name in names)
