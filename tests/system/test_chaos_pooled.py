"""The very short form of `make chaos` through PgBouncer in transaction mode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from benchmarks.harness.pooler import pgbouncer
from tests.chaos import courses
from tests.chaos.outcome import Outcome
from tests.chaos.stage import Stage, staged


@pytest.mark.parametrize(
    ("course", "rounds"), [(courses.cut, 2 * courses.STATEMENTS), (courses.kill, 1), (courses.terminate, 3)]
)
async def test_every_row_is_changed_once(
    debian_15: Any, course: Callable[[Stage], Awaitable[None]], rounds: int
) -> None:
    outcome = Outcome(course.__name__)
    with pgbouncer(debian_15.port, debian_15.user) as port:
        async with staged(debian_15, outcome, rounds, port=port) as stage:
            await course(stage)
    assert (outcome.rounds, outcome.lost, outcome.repeated) == (rounds, 0, 0)
