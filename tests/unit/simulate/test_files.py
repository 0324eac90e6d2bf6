"""Scenario files: read, checked, drawn."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pgbackfill.errors import UsageError
from pgbackfill.simulate import judge, load_scenario, parse_scenario, simulate
from pgbackfill.simulate.draw import draw
from pgbackfill.simulate.scenario import Primary

SMALL = """
name = "small"
seconds = 5
[sampling]
canary = true
[[replicas]]
capacity_bytes_per_s = 18e6
events = [{ at = 2, for = 1, set = { connected = false } }]
"""


def test_a_scenario_is_read_with_defaults() -> None:
    scenario = parse_scenario(SMALL)
    assert scenario.replicas[0].events[0].for_s == 1
    assert scenario.job.pacing.chunk_target_ms == 100
    assert scenario.primary == Primary()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("seconds = ", "not valid TOML"),
        ("seconds = -1", "wrong at seconds"),
        ("[job]\nrow_us = nan", "wrong at job.row_us"),
        ("[job.options]\nlag_soft_s = 9", "lag_soft_s"),
        ("[job.options]\nlag = 9", "lag"),
        ("[[replicas]]\nspeed = 1", "wrong at replicas.0.speed"),
        ("[[replicas]]\nevents = [{ at = 1, set = { speed = 2 } }]", "an event sets speed"),
        ("[[replicas]]\nevents = [{ at = 1, set = { capacity_bytes_per_s = -2 } }]", "replicas.0"),
        ("[[replicas]]\n[[replicas]]", "two replicas have the same name"),
    ],
)
def test_a_wrong_scenario_is_refused_with_the_place(text: str, place: str) -> None:
    with pytest.raises(UsageError, match=place):
        parse_scenario(text)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_scenario(tmp_path / "none.toml")


def test_events_begin_and_end() -> None:
    replica = parse_scenario(SMALL).replicas[0]
    assert replica.at(1.9) == {}
    assert replica.at(2.0) == {"connected": False}
    assert replica.at(3.0) == {}


def test_the_outcome_is_plain_numbers() -> None:
    numbers = judge(simulate(parse_scenario(SMALL))).as_dict()
    assert numbers["name"] == "small"
    assert all(math.isfinite(value) for value in numbers.values() if isinstance(value, float))


def test_a_run_is_drawn_as_png(tmp_path: Path) -> None:
    target = tmp_path / "small.png"
    draw(simulate(parse_scenario(SMALL)), target)
    assert target.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(UsageError, match="cannot be written"):
        draw(simulate(parse_scenario(SMALL)), tmp_path / "none" / "small.png")
