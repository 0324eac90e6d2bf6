"""What a person should know about a signal: that it cannot be read, why, and what would help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from pgbackfill.redact import redact

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Note:
    """`about` is the replica, where a signal has several; `absent`: the signal is left out instead of being unknown."""

    signal: str
    about: str
    sentence: str
    absent: bool


class Notes:
    """Logged once on entry and once when it no longer holds; shown in `/api/v1/signals` in between."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, str], Note] = {}

    def tell(self, signal: str, sentence: str, *, about: str = "", absent: bool = False) -> None:
        """Note it; the same sentence again is no news. Secrets are taken out."""
        note = Note(signal, about, redact(sentence), absent)
        if self._notes.get((signal, about)) != note:
            self._notes[signal, about] = note
            log.warning("signal unreadable", signal=signal, **({"about": about} if about else {}), hint=note.sentence)

    def clear(self, signal: str, about: str = "") -> None:
        """The signal is readable, or of no more interest."""
        if self._notes.pop((signal, about), None) is not None:
            log.info("signal readable again", signal=signal, **({"about": about} if about else {}))

    def of(self, signal: str, about: str) -> str | None:
        note = self._notes.get((signal, about))
        return note.sentence if note else None

    def __iter__(self) -> Iterator[Note]:
        return iter(sorted(self._notes.values(), key=lambda note: (note.signal, note.about)))
