"""Whatever happens to the process that started an embedded server, no process and no folder is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgbackfill.embedded.scratch import _parent_folder

START = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and that is inherited
from pgbackfill.embedded import Binaries, Server
server = Server.create(Binaries.find(18), {"fsync": "off"})
"""
SIT = START + "Server.standby(server, 'standby'); print('up', flush=True); sys.stdin.read()"
LONGEST_CLEANING_S = 30.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the child makes its temporary folder; short, and open to the user that runs Postgres for root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def child(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def processes_using(folder: Path) -> list[str]:
    """Processes that name the folder in their arguments or stand in it. No `ps` where there is /proc: slim images
    have none."""
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


def wait_until_clean(folder: Path) -> None:
    deadline = time.monotonic() + LONGEST_CLEANING_S
    while (left := [*folder.iterdir(), *processes_using(folder)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    with child(SIT, folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert any("postgres" in line for line in processes_using(folder))
        process.send_signal(number)
        process.wait()
        wait_until_clean(folder)


@pytest.mark.parametrize(
    "end", ["", "raise RuntimeError", "sys.exit(3)", "import os; os._exit(0)"], ids=["end", "error", "exit", "_exit"]
)
def test_an_end_without_stopping_the_server_leaves_nothing(folder: Path, end: str) -> None:
    with child(START + end, folder) as process:
        process.wait()
        wait_until_clean(folder)


def test_after_an_orderly_end_everything_is_gone_already(folder: Path) -> None:
    with child(START, folder) as process:
        process.wait()
        assert list(folder.iterdir()) == []
        assert processes_using(folder) == []


def test_no_file_is_tried_where_a_kill_would_leave_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert _parent_folder(for_others=False) == folder
    assert tempfile.tempdir is None, "tempfile looks for a folder by writing into it, once a process"


def test_killed_while_starting_leaves_nothing(folder: Path) -> None:
    announced = START.replace("server =", "print('starting', flush=True); server =")
    with child(announced, folder) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.wait()
        wait_until_clean(folder)


def test_the_keeper_itself_killed_does_not_keep_the_owner_from_cleaning(folder: Path) -> None:
    with child(SIT, folder) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for line in processes_using(folder):
            if "keeper.py" in line:
                os.kill(int(line.split()[0]), signal.SIGKILL)
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        wait_until_clean(folder)
