"""What a set_clause sets, and to what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.keyset.assignments import Assignment, assignments


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("n = 1", [("n", "1")]),
        ("N=1,m = 2", [("n", "1"), ("m", "2")]),
        ('"Odd ""1"", =" = f(a, b), c = d', [('Odd "1", =', "f(a, b)"), ("c", "d")]),
        ("a = 'x,y = ''z', b = E'\\', c = 1', d = e", [("a", "'x,y = ''z'"), ("b", "E'\\', c = 1'"), ("d", "e")]),
        ("a = $$,b = 1$$, c = $tag$, $$ $tag$", [("a", "$$,b = 1$$"), ("c", "$tag$, $$ $tag$")]),
        ("a = 1 -- , b = 2\n, c = 3 /* , d /* = */ 4 */", [("a", "1"), ("c", "3")]),
        ("a = b = c, d = e >= f, g = h <> i", [("a", "b = c"), ("d", "e >= f"), ("g", "h <> i")]),
        ("a = ARRAY[1, 2], b = (c, d)::pair", [("a", "ARRAY[1, 2]"), ("b", "(c, d)::pair")]),
        ("a = CASE WHEN b = 1 THEN c ELSE d END", [("a", "CASE WHEN b = 1 THEN c ELSE d END")]),
    ],
)
def test_plain_assignments(text: str, found: list[tuple[str, str]]) -> None:
    assert assignments(text) == [Assignment((column,), expression) for column, expression in found]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('(a, "B") = (1, 2)', ("a", "B")),
        ("(a, b) = (SELECT c, d FROM e)", ("a", "b")),
        ("tags[1] = 'x'", ("tags",)),
        ("address.city = 'x'", ("address",)),
        ("a = DEFAULT", ("a",)),
    ],
)
def test_what_is_no_single_column_with_an_expression(text: str, columns: tuple[str, ...]) -> None:
    assert assignments(text) == [Assignment(columns, None)]


def test_what_assigns_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not an assignment"):
        assignments("1 = 2")


PIECES = st.sampled_from(
    [
        "x",
        "1",
        "'a,b'",
        "''",
        '"c=d"',
        "$$,=$$",
        "$q$,$$=$q$",
        "f(a, b = c)",
        "ARRAY[1,2]",
        "E'\\','",
        "(a = b, c)",
        "lower(t.x)",
    ]
)


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,4}", fullmatch=True), PIECES, PIECES), min_size=1, max_size=5))
def test_what_was_put_together_is_taken_apart(items: list[tuple[str, str, str]]) -> None:
    text = " /* , */,".join(f"{name} = {one} || {other}" for name, one, other in items)
    assert assignments(text) == [Assignment((name,), f"{one} || {other}") for name, one, other in items]
