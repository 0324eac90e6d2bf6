"""Shows snapshots: redrawn in place on a terminal, a line a second elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from pgbackfill.screen import plain
from pgbackfill.screen.render import render
from pgbackfill.screen.snapshot import Snapshot

PLAIN_INTERVAL_S = 1.0


class Display:
    """A context manager; `show` may be called as often as there is something new.

    `plain` forces lines on a terminal too. Elsewhere, and on a terminal that cannot show the bars, it is always lines.
    `whole_screen` leaves what stood on the terminal as it was, afterwards.
    """

    def __init__(self, console: Console, *, plain: bool = False, whole_screen: bool = False) -> None:
        self.console = console
        self.plain = (
            plain or not console.is_terminal or console.is_dumb_terminal or not console.encoding.startswith("utf")
        )
        # Frames are drawn when they are shown, not by a thread of its own.
        self._live = None if self.plain else Live(console=console, auto_refresh=False, screen=whole_screen)
        self._next_line_s = 0.0
        self._notes_said = 0

    def show(self, snapshot: Snapshot) -> None:
        """Draw this frame, or print what is due."""
        if self._live is not None:
            self._live.update(render(snapshot, self.console.width), refresh=True)
            return
        for note in snapshot.notes[self._notes_said :]:
            self._print(f"{snapshot.elapsed_s:6.1f} s  * {note}")
        self._notes_said = len(snapshot.notes)
        if snapshot.elapsed_s >= self._next_line_s:
            self._next_line_s = snapshot.elapsed_s + PLAIN_INTERVAL_S
            self._print(plain.line(snapshot))

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
