"""`pgbackfill simulate` prints numbers, draws a picture, and refuses what is not a scenario in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

STEADY = str(files("pgbackfill.simulate") / "scenarios" / "steady.toml")


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "pgbackfill", "simulate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_outcome_is_printed_and_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "steady.png"
    done = simulate(STEADY, "--json", "--png", str(picture))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["utilisation"] > 0.9
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_people_get_one_line_a_number() -> None:
    done = simulate(STEADY)
    assert done.returncode == 0, done.stderr
    assert any(line.startswith("utilisation ") for line in done.stdout.splitlines())


def test_what_is_no_scenario_is_refused_in_one_sentence(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("colour = 'red'\n")
    for path in (wrong, tmp_path / "absent.toml"):
        done = simulate(str(path))
        assert done.returncode == 2
        assert done.stderr.startswith("pgbackfill: ")
        assert len(done.stderr.splitlines()) == 1
