"""Takes a set_clause apart. Pure; for clauses that Postgres itself has already accepted as a list of assignments.

In the grammar of Postgres an expression holds no comma outside of brackets, so cutting at the others is exact; and the
first `=` of a piece ends its target.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pgbackfill.errors import UsageError

_TOKEN = re.compile(
    r"""
      (?P<escaped> [eE]'(?:[^'\\]|\\.|'')*')
    | (?P<literal> '(?:[^']|'')*')
    | (?P<quoted> "(?:[^"]|"")*")
    | (?P<dollar> \$(?P<tag>[A-Za-z_\u0080-\uffff]\w*)\$ .*? \$(?P=tag)\$ | \$\$ .*? \$\$ )
    | (?P<line> --[^\n\r]*)
    | (?P<block> /\*)
    | (?P<word> [A-Za-z_\u0080-\uffff][\w$]*)
    | (?P<other> .)
    """,
    re.VERBOSE | re.DOTALL,
)
_NESTED = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Assignment:
    """`column` as it is in the catalogs; `expression` as the person wrote it, comments included."""

    column: str
    expression: str


def assignments(set_clause: str) -> list[Assignment]:
    """Raises UsageError for targets and values that a trigger cannot assign."""
    return [_assignment(piece) for piece in _pieces(set_clause)]


Tokens = list[tuple[str, str]]
"""(kind, text); comments have the kind `comment`."""


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        assert match is not None, "the last alternative takes any character"
        kind, end = str(match.lastgroup), match.end()
        if kind == "block":
            kind, end = "comment", _end_of_comment(text, match.end())
        elif kind == "line":
            kind = "comment"
        yield kind, text[place:end]
        place = end


def _end_of_comment(text: str, place: int) -> int:
    depth = 1
    while depth:
        match = _NESTED.search(text, place)
        if match is None:
            return len(text)
        depth += 1 if match[0] == "/*" else -1
        place = match.end()
    return place


def _pieces(text: str) -> list[Tokens]:
    depth, pieces = 0, list[Tokens]([[]])
    for kind, token in _tokens(text):
        if kind == "other":
            depth += (token in "([") - (token in ")]")
            if token == "," and depth == 0:
                pieces.append([])
                continue
        pieces[-1].append((kind, token))
    return pieces


def _assignment(piece: Tokens) -> Assignment:
    equals = next((place for place, token in enumerate(piece) if token == ("other", "=")), len(piece))
    target = [token for token in piece[:equals] if token[0] != "comment" and token[1].strip()]
    expression = "".join(token for _, token in piece[equals + 1 :]).strip()
    words = [token for kind, token in piece[equals + 1 :] if kind != "comment" and token.strip()]
    written = "".join(token for _, token in piece).strip()
    if len(target) != 1 or target[0][0] not in ("word", "quoted"):
        raise UsageError(
            f"A trigger assigns whole columns one by one, so write column = expression instead of {written}."
        )
    if len(words) == 1 and words[0].lower() == "default":
        raise UsageError(f"A trigger cannot assign DEFAULT; write the default's expression instead of {written}.")
    kind, name = target[0]
    return Assignment(name[1:-1].replace('""', '"') if kind == "quoted" else _folded(name), expression)


def _folded(name: str) -> str:
    """As Postgres folds what is not quoted: ASCII letters only, in a database of UTF-8."""
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), name)
