"""Waits for two things at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

A = TypeVar("A")
B = TypeVar("B")


async def both(first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """What both answer. Raises what the first of them to fail raises, by itself and not in a group."""
    answers: dict[int, A | B] = {}
    errors: list[Exception] = []

    async def run(place: int, work: Callable[[], Awaitable[A | B]], scope: anyio.CancelScope) -> None:
        try:
            answers[place] = await work()
        except Exception as error:
            errors.append(error)
            scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(run, 0, first, group.cancel_scope)
        group.start_soon(run, 1, second, group.cancel_scope)
    if errors:
        raise errors[0]
    return answers[0], answers[1]  # type: ignore[return-value]  # each came from its own place
