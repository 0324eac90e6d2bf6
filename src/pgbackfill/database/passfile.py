"""Passwords from libpq's pgpass file.

asyncpg reads the file too, but leaves backslash escapes in (`\\:` stays two characters), and reports wrong
permissions through `warnings`, which a service has no place for.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path

from pgbackfill.errors import UsageError

_FIELD = re.compile(r"((?:\\.|[^:\\])*)(?::|$)")


def lookup(path: Path, hosts: Sequence[tuple[str, str]], database: str, user: str) -> str | None:
    """The password of the first matching line, None where there is none or no such file.

    `hosts` are (host, port) pairs; a socket directory counts as `localhost`, as libpq has it. Raises UsageError
    where others can read the file, because libpq would ignore it without a word.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(f"The password file {path} can be read by others; run: chmod 0600 {path}.")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for host, port in hosts:
        wanted = ("localhost" if host.startswith(("/", "@")) else host, port, database, user)
        for line in lines:
            fields = _fields(line)
            if len(fields) >= 5 and all(have in ("*", want) for have, want in zip(fields, wanted, strict=False)):
                return fields[4]
    return None


def _fields(line: str) -> list[str]:
    if not line or line.startswith("#"):
        return []
    fields = [re.sub(r"\\(.)", r"\1", match.group(1)) for match in _FIELD.finditer(line)]
    return fields[:5]
