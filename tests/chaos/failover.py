"""Failover by promotion: the primary dies, its standby takes over, a new standby is built; daemons know both places."""

from __future__ import annotations

from .outcome import Outcome


async def course(outcome: Outcome, rounds: int, *, synchronous: bool) -> None:
    raise NotImplementedError
