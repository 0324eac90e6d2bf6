"""The Dockerfile, and the health check inside the image."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pgbackfill import __version__

ROOT = Path(__file__).parents[3]
HEALTHCHECK = ROOT / "deploy" / "docker" / "healthcheck.py"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_is_labelled_with_this_version() -> None:
    assert re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE, re.MULTILINE) == [__version__]


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    ((uid, gid),) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert int(uid) > 0
    assert int(gid) > 0


def test_nothing_that_the_image_runs_needs_a_shell() -> None:
    final = DOCKERFILE.split("\nFROM ")[-1]
    commands = re.findall(r"^\s*(?:ENTRYPOINT|CMD) (.*)$", final, re.MULTILINE)
    assert len(commands) == 3  # the health check's, too
    assert [command for command in commands if not command.startswith("[")] == []
    assert "RUN" not in final


def test_what_the_dockerfile_copies_is_let_into_its_context() -> None:
    let_in = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = {
        path for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for path in line.split()[:-1]
    }
    assert {path for path in copied if not {path, str(Path(path).parent)} & let_in} == set()
    assert {path for path in copied if not (ROOT / path).exists()} == set()


def check(port: int) -> subprocess.CompletedProcess[str]:
    environment = {"PGBACKFILL_HTTP__HOST": "0.0.0.0", "PGBACKFILL_HTTP__PORT": str(port)}
    command = [sys.executable, "-I", "-S", str(HEALTHCHECK)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("status", "code"), [("200 OK", 0), ("503 Service Unavailable", 1)])
def test_the_health_check_believes_the_status(status: str, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(4096).startswith(b"GET /healthz HTTP/1.0\r\n")
                connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        done = check(server.getsockname()[1])
        thread.join()
    assert (done.returncode, done.stdout, done.stderr) == (code, f"HTTP/1.1 {status}\n", "")


def test_the_health_check_says_that_nothing_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and not listening
        done = check(free.getsockname()[1])
    assert done.returncode == 1
    assert "does not answer" in done.stdout
    assert done.stderr == ""
