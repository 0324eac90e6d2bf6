"""A terminal without anybody in front of it."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from typing import Any

COLUMNS, LINES = 80, 24
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program in a terminal of its own; everything that it wrote is kept."""

    def __init__(self, arguments: list[str], env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._slave = slave
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            arguments, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.set_blocking(self._master, False)
        self.raw = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def read(self) -> str:
        """All that was written so far."""
        try:
            while data := os.read(self._master, 65_536):
                self.raw += self._decoder.decode(data)
        except BlockingIOError:
            pass
        return self.raw

    @property
    def coloured(self) -> list[str]:
        """The lines of the last complete frame, with whatever colours them."""
        frames = re.findall(r"(?:\x1b\[[0-9;]*m)*╭(?:(?!╭).)*╯", self.read(), re.DOTALL)
        return frames[-1].splitlines() if frames else []

    @property
    def frame(self) -> list[str]:
        """The same without colours."""
        return [CONTROL.sub("", line).rstrip() for line in self.coloured]

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._slave)
        os.close(self._master)
