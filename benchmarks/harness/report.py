"""Tables for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is aimed at: `at_least` or `at_most` a limit."""

    limit: float
    at_least: bool = True

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def text(self, value: float) -> str:
        relation = ">=" if self.at_least else "<="
        return f"{relation} {self.limit:g} {'met' if self.met(value) else 'MISSED'}"


def progress(line: str) -> None:
    """To standard error, so that standard output holds the result alone."""
    print(line, file=sys.stderr, flush=True)


def facts(title: str, values: Mapping[str, str]) -> str:
    width = max(len(name) for name in values)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in values.items())])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def emit(as_json: bool, document: object, text: str) -> None:
    print(json.dumps(document, indent=2) if as_json else text)
