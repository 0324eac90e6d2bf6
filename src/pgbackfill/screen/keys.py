"""Single keys from a terminal, without waiting for the end of a line."""

from __future__ import annotations

import os
import re
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Self

import anyio

SEQUENCE = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O.|)")
"""What a cursor or function key sends. None of them means anything here."""
READ_MOST_BYTES = 64


class Keys:
    """A context manager. Where standard input is no terminal there are no keys, and `next` only waits."""

    def __init__(self) -> None:
        self._fd: int | None = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._before: list[Any] | None = None
        self._waiting: list[str] = []

    @property
    def there(self) -> bool:
        return self._fd is not None

    async def next(self, seconds: float) -> str | None:
        """The next key, or None after so many seconds."""
        if not self._waiting and self._fd is not None:
            with anyio.move_on_after(seconds):
                await anyio.wait_readable(self._fd)
                self._read(self._fd)
        elif self._fd is None:
            await anyio.sleep(seconds)
        return self._waiting.pop(0) if self._waiting else None

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_MOST_BYTES)
        except OSError:
            data = b""
        if not data:  # the terminal is gone: keep to the clock from here on
            self._fd = None
        self._waiting += SEQUENCE.sub("", data.decode(errors="ignore"))

    def __enter__(self) -> Self:
        if self._fd is not None:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)  # Ctrl-C stays a signal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None and self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
