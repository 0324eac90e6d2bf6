"""The SQL of promise.sql by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final


def _read() -> dict[str, str]:
    blocks = Path(__file__).with_name("promise.sql").read_text(encoding="utf-8").split("-- name: ")[1:]
    return {name.strip(): sql for name, _, sql in (block.partition("\n") for block in blocks)}


QUESTIONS: Final = _read()
