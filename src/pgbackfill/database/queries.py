"""Loads the fixed SQL of `sql/*.sql`: named blocks, each with a comment that says why it exists."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(file: str) -> dict[str, str]:
    """The blocks of `sql/<file>.sql` by name.

    A block begins with a line `-- name: claim_range` and ends before the next one.
    """
    text = (files(__package__) / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    pieces = _NAME.split(text)[1:]
    return {name: body.strip() for name, body in zip(pieces[::2], pieces[1::2], strict=True)}
