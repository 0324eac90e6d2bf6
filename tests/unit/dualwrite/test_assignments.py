"""A set_clause is cut where Postgres would cut it."""

from __future__ import annotations

import pytest

from pgbackfill.dualwrite.assignments import assignments
from pgbackfill.errors import UsageError


@pytest.mark.parametrize(
    ("clause", "found"),
    [
        ("a = 1", [("a", "1")]),
        ("a=1,b=lower(c)", [("a", "1"), ("b", "lower(c)")]),
        ('A = B, "Odd, =""name" = \'x, y = z\'', [("a", "B"), ('Odd, ="name', "'x, y = z'")]),
        ("a = coalesce(b, c), d = ARRAY[1, 2]", [("a", "coalesce(b, c)"), ("d", "ARRAY[1, 2]")]),
        ("a = b = c", [("a", "b = c")]),
        ("a = E'it\\'s, =', b = 'it''s,'", [("a", "E'it\\'s, ='"), ("b", "'it''s,'")]),
        ("a = $$x, y$$, b = $t$ $$, $t$", [("a", "$$x, y$$"), ("b", "$t$ $$, $t$")]),
        ("a = 1 -- one, two = 2\n, b = 3", [("a", "1 -- one, two = 2"), ("b", "3")]),
        ("/* = , /* nested, */ */ a /* = */ = 1 /* , */, b = 2", [("a", "1 /* , */"), ("b", "2")]),
        ("d = date'2020-01-01', e = (SELECT x, y FROM z)", [("d", "date'2020-01-01'"), ("e", "(SELECT x, y FROM z)")]),
        ("ü$1 = CASE WHEN a = 1 THEN 2 END", [("ü$1", "CASE WHEN a = 1 THEN 2 END")]),
    ],
)
def test_assignments_are_cut_outside_of_quotes_brackets_and_comments(clause: str, found: list[tuple[str, str]]) -> None:
    assert [(one.column, one.expression) for one in assignments(clause)] == found


@pytest.mark.parametrize(
    ("clause", "said"),
    [
        ("(a, b) = (1, 2)", "whole columns one by one"),
        ("a[1] = 2", "whole columns one by one"),
        ("a.b = 2", "whole columns one by one"),
        ("a = DEFAULT /* c */", "cannot assign DEFAULT"),
    ],
)
def test_what_a_trigger_cannot_assign_is_refused_with_the_piece(clause: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        assignments(f"ok = 1, {clause}")
