"""The short form of `make chaos` on one server: connections that are cut, or that nothing comes through any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.chaos import courses
from tests.chaos.outcome import Outcome
from tests.chaos.stage import Stage, server, staged


@pytest.fixture(scope="module")
def chaos_server() -> Iterator[Any]:
    with server() as started:
        yield started


async def play(on: Any, course: Callable[[Stage], Awaitable[None]], rounds: int) -> Outcome:
    outcome = Outcome(course.__name__)
    async with staged(on, outcome, rounds) as stage:
        await course(stage)
    assert (outcome.rounds, outcome.lost, outcome.repeated) == (rounds, 0, 0)
    return outcome


async def test_cut_before_and_after_every_statement_of_a_chunk(chaos_server: Any) -> None:
    outcome = await play(chaos_server, courses.cut, 2 * courses.STATEMENTS)
    struck = {note.split(",")[0] for note in outcome.notes}
    assert {"begin", "claim", "change", "store", "commit"} <= struck, outcome.notes


async def test_a_network_that_forwards_nothing_and_closes_nothing(chaos_server: Any) -> None:
    await play(chaos_server, courses.half_open, 1)
