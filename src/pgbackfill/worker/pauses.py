"""Who has paused this process, and until when."""

from __future__ import annotations

from collections.abc import Callable


class Pauses:
    """A set of holders (`signal`, `http`): resuming one releases only its own pause. Times are monotonic seconds."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._until: dict[str, float | None] = {}
        self._on_change = on_change

    def pause(self, holder: str, until: float | None = None) -> bool:
        """True where this changed anything. Without `until` the pause lasts until somebody ends it."""
        changed = holder not in self._until or self._until[holder] != until
        if changed:
            self._until[holder] = until
            self._on_change()
        return changed

    def resume(self, holder: str) -> bool:
        """True where this changed anything."""
        changed = holder in self._until
        if changed:
            del self._until[holder]
            self._on_change()
        return changed

    def expire(self, now: float) -> list[str]:
        """Ends the pauses whose time is over; answers their holders."""
        over = [holder for holder, until in self._until.items() if until is not None and until <= now]
        for holder in over:
            self.resume(holder)
        return over

    @property
    def next_end(self) -> float | None:
        """When the first of the pauses ends by itself."""
        return min((until for until in self._until.values() if until is not None), default=None)

    @property
    def holders(self) -> tuple[str, ...]:
        """In the order in which they came."""
        return tuple(self._until)

    @property
    def reason(self) -> str | None:
        """The hold that results, e.g. `paused by signal`."""
        return f"paused by {' and '.join(self._until)}" if self._until else None
