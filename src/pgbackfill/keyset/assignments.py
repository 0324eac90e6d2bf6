"""Reads a set_clause that Postgres has accepted: which columns it sets, and to what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<escaped>(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*')
    | (?P<string>'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*")
    | (?P<dollar>(?<![\w$])\$(?P<tag>[^\W\d]\w*|)\$.*?\$(?P=tag)\$)
    | (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<open>[(\[])
    | (?P<close>[)\]])
    | (?P<comma>,)
    | (?P<equals>(?<![<>!=:~*+\-/%^&|@\#?])=(?![<>=~*+\-/%^&|@\#?]))
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_NAME = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^\W\d][\w$]*))')


@dataclass(frozen=True, slots=True)
class Assignment:
    """`expression` is None where it is no single column with an expression: `(a, b) = …`, `tags[1] = …`, DEFAULT."""

    columns: tuple[str, ...]
    expression: str | None


def assignments(set_clause: str) -> list[Assignment]:
    """What each item of a valid set_clause does. Raises ValueError where it is no list of assignments."""
    return [_assignment(item) for item in _items(set_clause)]


def _items(text: str) -> Iterator[tuple[str, str]]:
    """(left, right) of every item, without comments."""
    depth, side, sides = 0, 0, ["", ""]
    for kind, value in _tokens(text):
        depth += (kind == "open") - (kind == "close")
        if depth == 0 and kind == "comma":
            yield sides[0], sides[1]
            side, sides = 0, ["", ""]
        elif depth == 0 and kind == "equals" and side == 0:
            side = 1
        else:
            sides[side] += value
    yield sides[0], sides[1]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None, "any character is a token"
        at, kind = found.end(), str(found.lastgroup)
        if found["line"] is not None:
            kind, value = "blank", "\n"
        elif found["block"] is not None:
            at, kind, value = _after_comment(text, at), "blank", " "
        else:
            value = found[0]
        yield kind, value


def _after_comment(text: str, at: int) -> int:
    """Where a comment ends that has just begun; comments nest."""
    depth = 1
    while depth:
        found = _COMMENT.search(text, at)
        if found is None:
            return len(text)
        depth += 1 if found[0] == "/*" else -1
        at = found.end()
    return at


def _assignment(item: tuple[str, str]) -> Assignment:
    left, right = item[0].strip(), item[1].strip()
    several = left.startswith("(")
    columns = []
    for part in left.strip("()").split(",") if several else [left]:
        found = _NAME.match(part)
        if found is None:
            raise ValueError(f"not an assignment: {left!r}")
        columns.append(found[1].replace('""', '"') if found[1] is not None else found[2].lower())
    whole = _NAME.fullmatch(left) is not None
    return Assignment(tuple(columns), right if whole and right.lower() != "default" else None)
