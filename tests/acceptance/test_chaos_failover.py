"""The short form of `make chaos` on a primary and its standby: commits are lost, and what was dead comes back."""

from __future__ import annotations

from tests.chaos import failover
from tests.chaos.outcome import Outcome


async def test_a_claim_that_was_lost_and_a_primary_that_was_dead_come_back_and_change_nothing() -> None:
    outcome = Outcome("failover")
    await failover.course(outcome, 2, turns=(failover.zombie_wakes, failover.comes_back))
    assert (outcome.rounds, outcome.lost, outcome.repeated) == (2, 0, 0)
    assert outcome.notes["a zombie woke with a lost claim"] == outcome.notes["the dead primary came back"] == 1
