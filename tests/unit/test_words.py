"""What the commands say that people read at night."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgbackfill.cli.words import happened, throttled, told, unthrottled

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("desired_state", "status", "pause_until", "said"),
    [
        ("pause", "running", None, "users is still running; it pauses when the current chunk has ended."),
        ("pause", "paused", None, "users is paused until it is resumed."),
        ("pause", "paused", NOON, "users is paused until 2026-01-02 12:00:00Z, then it goes on."),
        ("cancel", "running", None, "users is still running; it is cancelled when the current chunk has ended."),
        ("cancel", "cancelled", None, "users is cancelled; what it had done stays done."),
        ("run", "queued", None, "users is queued; a daemon goes on with it as soon as it is free."),
        ("run", "running", None, "users is running."),
        ("run", "succeeded", None, "users is done."),
    ],
)
def test_it_is_said_what_is_so_and_what_follows(
    desired_state: str, status: str, pause_until: datetime | None, said: str
) -> None:
    row = {"name": "users", "desired_state": desired_state, "status": status, "pause_until": pause_until}
    assert told(row) == said


def test_a_throttle_that_another_one_outdoes_says_so() -> None:
    row = {"name": "users", "status": "running", "throttle_ratio": 0.25, "throttle_until": NOON}
    assert throttled(row, 0.5, NOON).endswith("but until 2026-01-02 12:00:00Z every job is held to 25 %.")
    assert throttled(row, 0.25, NOON).endswith("it is running now.")
    assert throttled(None, 0.5, NOON) == "Every job of this database makes 50 % of its pace until 2026-01-02 12:00:00Z."
    assert unthrottled(row, 1).startswith("users is no longer throttled itself, but every job is, to 25 %")
    assert unthrottled(row | {"throttle_ratio": None}, 0) == "users had no throttle of its own."
    assert unthrottled(None, 1) == "No job of this database is throttled any more (1 throttle ended)."


def test_an_event_is_a_line_that_says_what_changed() -> None:
    at = datetime(2026, 1, 2, 12, 30, 5, tzinfo=UTC)
    for event, detail, line in (
        ("status", {"from": "running", "to": "failed", "error": "no\n column"}, "status running → failed: no column"),
        ("options", {"from": {"a": 1}, "to": {"a": 1, "b": 2}}, "options b unset → 2"),
        ("throttled", {"ratio": 0.5, "until": at.isoformat()}, "throttled to 50 % until 2026-01-02 12:30:05Z"),
        ("enqueued", {"status": "queued"}, "enqueued"),
    ):  # fmt: skip
        assert happened({"at": at, "actor": "alice", "event": event, "detail": detail}) == f"12:30:05Z alice: {line}"
