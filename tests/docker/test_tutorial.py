"""The tutorial, command by command, in a container that has Docker's client and a clean clone, and nothing else.

What stands in a block of `text` is what the commands above it must print, with `…` for anything.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import PATIENCE_S, ROOT

CLIENT = """
FROM python:3.13-slim
RUN apt-get update -q && apt-get install -y -q --no-install-recommends docker-cli docker-compose curl
"""
BLOCKS = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ASKED_AGAIN_S = 90
"""Where the page says "after ten seconds", a busy machine may take longer. Only what changes nothing is repeated."""
LOOKS = ("curl ", "docker compose exec -T pgbackfill pgbackfill status")

Docker = Callable[..., subprocess.CompletedProcess[str]]


def steps() -> list[tuple[str, list[str]]]:
    """Commands, and the lines that they must print."""
    found: list[tuple[str, list[str]]] = []
    for kind, content in BLOCKS.findall((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")):
        if kind == "sh":
            found.append((content, []))
        else:
            found[-1][1].extend(content.splitlines())
    return found


def as_pattern(line: str) -> re.Pattern[str]:
    parts = [r"\s+".join(map(re.escape, part.split())) for part in line.split("…")]
    return re.compile(r".*".join(parts))


def missing(expected: list[str], output: str) -> list[str]:
    """The lines that were not printed. Spaces may be more or fewer, since columns are as wide as their content."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    return [line for line in expected if not any(as_pattern(line).search(each) for each in lines)]


@pytest.fixture
def newcomer(docker: Docker) -> Iterator[Callable[[str], str]]:
    """Runs a block of commands as a new user would; returns what it printed."""
    socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    network = os.environ.get("BUILD_NETWORK", "default")
    name = f"pgbackfill-tutorial-{secrets.token_hex(3)}"
    # The engine mounts the clone's files into other containers, so it has the same path inside and outside.
    clone = Path(tempfile.mkdtemp(prefix="pgbackfill-tutorial-"))
    clone.chmod(0o755)
    subprocess.run(["git", "clone", "--quiet", f"file://{ROOT}", clone / "source"], check=True)
    build = ["docker", "build", "--network", network, "--tag", f"{name}:client", "-"]
    subprocess.run(build, input=CLIENT, text=True, check=True, capture_output=True, timeout=PATIENCE_S)
    started = docker(
        "run", "--detach", "--name", name, "--network", "host", "--volume", f"{socket}:/var/run/docker.sock",
        "--volume", f"{clone}:{clone}", "--workdir", str(clone / "source"), "--env", f"COMPOSE_PROJECT_NAME={name}",
        "--env", f"BUILD_NETWORK={network}", "--env", "TERM=xterm", f"{name}:client", "sleep", "infinity",
    )  # fmt: skip
    assert started.returncode == 0, started.stderr

    def run(block: str) -> str:
        if block.strip() == "docker compose exec pgbackfill pgbackfill watch":
            # It wants a terminal and somebody who leaves it.
            block = f"(sleep 8; printf q) | script --quiet --return --command '{block.strip()}' /dev/null"
        command = ["docker", "exec", name, "bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3 * PATIENCE_S)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    yield run
    docker("compose", "--project-name", name, "--profile", "*", "down", "--volumes", "--timeout", "5")
    docker("rm", "--force", name)
    docker("rmi", f"{name}:client")
    shutil.rmtree(clone)


def test_a_newcomer_gets_to_the_end(newcomer: Any) -> None:
    found = steps()
    assert len(found) > 15
    for block, expected in found:
        output, deadline = newcomer(block), time.monotonic() + ASKED_AGAIN_S
        while missing(expected, output) and block.startswith(LOOKS) and time.monotonic() < deadline:
            time.sleep(2)
            output = newcomer(block)
        assert missing(expected, output) == [], f"{block}\nprinted\n{output}"
