"""A series of numbers as a row of small bars."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
GAP = " "


def levels(values: Sequence[float | None], width: int, *, top: float | None = None) -> list[float | None]:
    """The last `width` values as shares of the largest one, or of `top` if that is larger; None where unknown."""
    shown = list(values[-width:])
    known = [value for value in shown if value is not None]
    scale = max([*known, top or 0.0], default=0.0)
    return [None if value is None else (value / scale if scale > 0 else 0.0) for value in shown]


def bar(level: float | None) -> str:
    """One character for a share from 0 to 1."""
    if level is None:
        return GAP
    return BARS[min(len(BARS) - 1, max(0, int(level * len(BARS))))]
