"""The table of states: what a job can do, and that nothing else is possible."""

from __future__ import annotations

import pytest

from pgbackfill.jobs.states import FINISHED, TRANSITIONS, IllegalMove, Status, move

EVENTS = sorted({event for row in TRANSITIONS.values() for event in row})


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("event", EVENTS)
def test_a_move_is_in_the_table_or_refused_with_what_is_possible(status: Status, event: str) -> None:
    if event in TRANSITIONS[status]:
        assert move(status, event) is TRANSITIONS[status][event]
        return
    with pytest.raises(IllegalMove) as caught:
        move(status, event)
    assert all(possible in str(caught.value) for possible in TRANSITIONS[status])
    assert "\n" not in str(caught.value)


def test_every_state_has_a_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(Status)
    reached = {Status.QUEUED}
    for _ in Status:
        reached |= {after for status in reached for after in TRANSITIONS[status].values()}
    assert reached == set(Status)


def test_a_finished_job_moves_only_by_a_retry_and_succeeds_for_good_but_for_its_quarantine() -> None:
    assert TRANSITIONS[Status.SUCCEEDED] == {"retry_quarantined": Status.QUEUED}
    for status in FINISHED - {Status.SUCCEEDED}:
        assert TRANSITIONS[status]["retry"] is Status.QUEUED
        assert set(TRANSITIONS[status].values()) == {Status.QUEUED}


@pytest.mark.parametrize("status", [status for status in Status if status not in FINISHED])
def test_whatever_is_not_finished_can_be_cancelled(status: Status) -> None:
    assert move(status, "cancel") is Status.CANCELLED
