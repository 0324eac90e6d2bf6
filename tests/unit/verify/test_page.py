"""The SQL of verification, word for word; and what a pass remembers."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pgbackfill.control.options import PacingOptions
from pgbackfill.database.steps import Walked
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.key import KeyColumn, Lower
from pgbackfill.keyset.statement import Change
from pgbackfill.verify import page
from pgbackfill.verify.tally import Page, Tally

GOLDEN = Path(__file__).parent / "golden.sql"
KEY = (KeyColumn("tenant", "integer"), KeyColumn('I"d', "bigint"))
CHANGE = Change("job", "update", '"public"."users"', KEY, set_clause="n = 1", where_clause="n < 5 -- small")
BESIDE = Change(
    "job",
    "update",
    '"public"."users"',
    KEY,
    set_clause="n = o.n",
    from_clause="other AS o -- two",
    where_clause="o.id = t.id",
)
JOB = Job(
    1,
    "job",
    "users",
    "update",
    1,
    ("tenant", 'I"d'),
    search_path='public, "x y"',
    session_settings={"work_mem": "64MB"},
)


def test_the_builder_writes_what_was_reviewed() -> None:
    lower, upper, xid = Lower(("1", "2"), inclusive=False), ("3", "4"), 5_000_000_000
    condition = page.compared("n < 5 -- small", [("n", "1", "integer"), ("Odd", "lower(x)", "character varying(5)")])
    found = {
        "compared": page.wrong_rows(CHANGE, condition, lower, upper, claim_xid=xid),
        "selected": page.wrong_rows(CHANGE, page.selected(CHANGE), None, upper, claim_xid=xid),
        "beside": page.wrong_rows(BESIDE, page.selected(BESIDE), lower, upper, claim_xid=xid),
        "quarantined": page.wrong_rows(CHANGE, condition, lower, upper, claim_xid=xid, aside=[("7", "8"), ("9", "10")]),
        "sampled": page.sampled_rows(CHANGE, condition, lower, upper, claim_xid=xid, percent=0.5),
    }
    written = f"-- begin\n{page.begin(PacingOptions(), JOB)}\n\n"
    for name, statement in found.items():
        written += f"-- {name}\n{statement.sql}\n-- {list(statement.arguments)}\n\n"
    if os.environ.get("PGBACKFILL_WRITE_GOLDEN"):
        GOLDEN.write_text(written, encoding="utf-8")
    assert written == GOLDEN.read_text(encoding="utf-8")


def walk(*pages: Page) -> Tally:
    """A pass over one range, kept and read again after each page as another daemon would."""
    tally = Tally()
    for each in pages:
        tally = tally.add(Walked(3, 77, None, True, ("99",), 100), each)
        tally = Tally.read(json.loads(json.dumps(tally.written())))
    return tally


def test_what_is_kept_is_read_again() -> None:
    tally = walk(Page(("9",), 9, 1, [("4",), ("6",)]), Page(None, 0, 0, []))
    assert (tally.rows, tally.mismatches, tally.later, tally.ordinal, tally.cursor) == (9, 2, 1, 3, ("99",))
    assert Tally.read({}) == Tally()


def test_wrong_pages_in_a_row_are_walked_again_as_one() -> None:
    right = Page(("50",), 10, 0, [])
    tally = walk(
        Page(("10",), 10, 0, [("2",), ("4",)]), Page(("20",), 10, 0, [("11",)]), right, Page(("60",), 10, 0, [("55",)])
    )
    assert [(each.lower_key, each.upper_key, each.rows) for each in tally.repairs()] == [
        (("2",), ("11",), 3), (("55",), ("55",), 1),
    ]  # fmt: skip
    assert all(each.lower_inclusive and each.relation == 77 for each in tally.repairs())
