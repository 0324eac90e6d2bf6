"""Who has paused this process."""

from __future__ import annotations

from collections.abc import Callable


class Pauses:
    """A set of holders (`signal`, `http`): resuming one releases only its own pause."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._holders: dict[str, None] = {}
        self._on_change = on_change

    def pause(self, holder: str) -> bool:
        """True where this changed anything."""
        return self._change(holder not in self._holders, lambda: self._holders.setdefault(holder))

    def resume(self, holder: str) -> bool:
        """True where this changed anything."""
        return self._change(holder in self._holders, lambda: self._holders.pop(holder))

    def _change(self, needed: bool, change: Callable[[], object]) -> bool:
        if needed:
            change()
            self._on_change()
        return needed

    @property
    def holders(self) -> tuple[str, ...]:
        """In the order in which they came."""
        return tuple(self._holders)

    @property
    def reason(self) -> str | None:
        """The hold that results, e.g. `paused by signal`."""
        return f"paused by {' and '.join(self._holders)}" if self._holders else None
