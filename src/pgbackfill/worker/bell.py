"""Wakes whoever sleeps, early."""

from __future__ import annotations

import anyio


class Bell:
    """A wait that ends after a time or as soon as somebody rings, whichever comes first.

    Everybody who waits at that moment is woken. A ring that nobody waits for is not kept; who must not miss one
    compares `rings` before and after.
    """

    def __init__(self) -> None:
        self._event = anyio.Event()
        self.rings = 0

    def ring(self) -> None:
        self.rings += 1
        self._event.set()
        self._event = anyio.Event()

    async def wait(self, seconds: float) -> None:
        event = self._event
        with anyio.move_on_after(seconds):
            await event.wait()
