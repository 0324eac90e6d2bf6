"""No connection of a job that has ended is left open, whenever it is given back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from pgbackfill.worker.slots import Slots


class Slot:
    """Stands for one with a connection; `meanwhile` happens while that is being closed."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        self.link = self
        self.spare = False
        self.closed = False
        self._meanwhile = meanwhile

    async def close(self) -> None:
        if self._meanwhile is not None and not self.closed:
            await self._meanwhile()
        self.closed = True


async def test_a_slot_that_comes_back_while_others_are_closed_is_closed_as_well() -> None:
    slots = Slots(cast("Any", SimpleNamespace(lanes={}, jobs={})))
    late = Slot()
    job = cast("Any", SimpleNamespace(id=2))

    async def give_back() -> None:
        await slots.give_back(job, cast("Any", late))

    slots._shared[2] = cast("Any", object())  # its preparation is still at work when the look begins
    first = Slot(meanwhile=give_back)
    await slots.give_back(cast("Any", SimpleNamespace(id=1)), cast("Any", first))
    await slots.tidy()
    assert (first.closed, late.closed) == (True, True)
