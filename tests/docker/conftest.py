"""The image and docker-compose.yml on a real engine, under a project name of their own; nothing of it stays behind."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = "pgbackfill:local"
LOCKED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "10001")
PATIENCE_S = 300
"""For building and for coming up."""


def pytest_configure(config: pytest.Config) -> None:
    there = (
        shutil.which("docker") and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    )
    if not there or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        raise pytest.UsageError("These tests need a running Docker engine and its Compose plugin.")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`docker …`, whatever its exit code."""
    return subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


@pytest.fixture
def docker() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image, built anew. BUILD_NETWORK=host where a build has no other way to the package index."""
    built = run("build", "--network", os.environ.get("BUILD_NETWORK", "default"), "--tag", IMAGE, ".")
    assert built.returncode == 0, built.stdout + built.stderr
    return IMAGE


@dataclass
class Project:
    """docker-compose.yml, up."""

    name: str

    def __call__(self, *arguments: str) -> str:
        # Port 0 is any free one.
        ports = {f"{name}_PORT": "0" for name in ("PGBACKFILL", "PROMETHEUS", "GRAFANA")}
        done = run("compose", "--project-name", self.name, *arguments, **ports)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def psql(self, user: str, sql: str) -> str:
        return self(
            "exec", "-T", "primary", "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", user, "shop", "-c", sql
        ).strip()

    def address(self, service: str, port: int) -> str:
        return self("port", service, str(port)).strip()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}\n{self('logs', '--tail', '50')}"
            time.sleep(0.2)


@pytest.fixture(scope="session")
def project(image: str) -> Iterator[Project]:
    project = Project(f"pgbackfill-test-{secrets.token_hex(3)}")
    try:
        project("up", "--detach", "--wait", "--wait-timeout", str(PATIENCE_S - 20))
        yield project
    finally:
        project("--profile", "*", "down", "--volumes", "--timeout", "5")
