"""`pgbackfill demo`, started as a user starts it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Enough for a hold: the link slows at 40 %, and the hard limit of 1.5 s of lag must be foreseen before the end.
ROWS_WITH_A_HOLD = 150_000
FEW_ROWS = 2_000
LONGEST_CLEANING_S = 30.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demonstration makes its temporary folder; short, and open to the user that runs Postgres for root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def start(folder: Path, png: Path, rows: int) -> subprocess.Popen[str]:
    # SIGINT as on a terminal: a runner may have started the tests with it ignored, which children inherit.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pgbackfill.cli.main import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, "demo", "--rows", str(rows), "--png", str(png)],
        env={**os.environ, "TMPDIR": str(folder), "PGBACKFILL_DSN": "postgresql://nowhere.invalid/x", "PGHOST": "no"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_using(folder: Path) -> list[str]:
    if not Path("/proc/self").exists():
        listed = subprocess.run(["/bin/ps", "-axww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
        return [line for line in listed.stdout.splitlines() if str(folder) in line]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            standing = str((process / "cwd").readlink()) if arguments else ""
            if str(folder) in arguments or str(folder) in standing:
                found.append(f"{process.name} {arguments}")
    return found


def left_over(folder: Path) -> list[object]:
    return [*folder.iterdir(), *processes_using(folder)]


def test_ends_with_a_verified_result_and_a_picture_and_leaves_nothing_else(folder: Path, tmp_path: Path) -> None:
    png = tmp_path / "demo.png"
    with start(folder, png, ROWS_WITH_A_HOLD) as process:
        output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert left_over(folder) == []
    assert "orders filled: 150,000 of 150,000, each compared" in output
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "\x1b" not in output

    told = [output.index(text) for text in ("becomes slow", "replica_lag", "is fast again", "goes on", "succeeded")]
    assert told == sorted(told)
    assert re.search(r"held for \d+ s: replica_lag [\d.]+s > 1.5s \(replica-b\)", output)
    for label in ("rows/s", "replica lag, largest", "foreground p99 before", "foreground p99 during", "held"):
        assert re.search(rf"^{label}: [\d.,]+", output, re.MULTILINE), label


@pytest.mark.parametrize(
    ("moment", "number", "rows"),
    [
        ("Postgres 18 started", signal.SIGINT, FEW_ROWS),
        ("A streaming standby", signal.SIGINT, FEW_ROWS),
        ("not yet enqueued", signal.SIGINT, FEW_ROWS),
        ("INSERT INTO", signal.SIGTERM, FEW_ROWS),
        ("it holds", signal.SIGINT, ROWS_WITH_A_HOLD),
        ("it holds", signal.SIGKILL, ROWS_WITH_A_HOLD),
        ("orders filled", signal.SIGINT, FEW_ROWS),
    ],
)
def test_a_signal_at_any_moment_leaves_nothing(
    folder: Path, tmp_path: Path, moment: str, number: signal.Signals, rows: int
) -> None:
    with start(folder, tmp_path / "demo.png", rows) as process:
        assert process.stdout is not None
        assert any(moment in line for line in process.stdout)
        process.send_signal(number)
        output, errors = process.communicate()
        assert errors == ""
        if number is signal.SIGKILL:
            assert process.returncode == -number
        else:
            # Done before it ends, so that it can be said.
            assert process.returncode == 128 + number
            assert output.endswith("every process is stopped and the temporary folder deleted.\n")
            assert left_over(folder) == []
    deadline = time.monotonic() + LONGEST_CLEANING_S
    while (left := left_over(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def test_a_reader_that_goes_away_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    with start(folder, tmp_path / "demo.png", FEW_ROWS) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait()
        assert left_over(folder) == []


def test_a_picture_that_cannot_be_written_is_refused_before_anything_starts(folder: Path, tmp_path: Path) -> None:
    with start(folder, tmp_path / "missing" / "demo.png", FEW_ROWS) as process:
        output, errors = process.communicate()
    assert (process.returncode, output) == (2, "")
    assert "there is no folder" in errors
    assert left_over(folder) == []
