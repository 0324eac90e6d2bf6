"""A plan as people read it: pinned, so that a change of its words is seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pgbackfill.plan.sections import sections
from pgbackfill.plan.text import markdown, text

FOLDER = Path(__file__).parent / "golden"
PLANS = ("sampled", "bare")


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_drawn_as_the_golden_file_has_it(name: str) -> None:
    plan = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert text(sections(plan)) + "\n" == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert markdown(sections(plan)) + "\n" == (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def test_a_table_cell_holds_no_bar_and_secrets_are_masked() -> None:
    plan = json.loads((FOLDER / "bare.json").read_text(encoding="utf-8"))
    plan["job"]["set_clause"] = "note = 'a|b' || 'postgres://u:hunter2222@h/d'"
    drawn = markdown(sections(plan))
    assert "'a\\|b'" in drawn
    assert "hunter2222" not in drawn
