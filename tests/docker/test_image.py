"""The image by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pgbackfill import __version__

from . import conftest

Docker = Callable[..., Any]
LOCKED = ("run", "--rm", *conftest.LOCKED)


def test_it_says_what_it_can_do(docker: Docker, image: str) -> None:
    done = docker(*LOCKED, image, "--help")
    assert done.returncode == 0
    assert "migrate" in done.stdout
    assert docker(*LOCKED, image, "--version").stdout == f"pgbackfill {__version__}\n"


def test_run_is_what_it_does_and_a_missing_database_is_one_sentence(docker: Docker, image: str) -> None:
    by_default = docker(*LOCKED, "-e", "PGBACKFILL_DSN=postgresql://nobody@127.0.0.1:1/none", image)
    assert by_default.returncode == 3
    assert len(by_default.stderr.splitlines()) == 1
    nobody = docker(*LOCKED, image, "run")
    assert nobody.returncode == 2
    assert "PGUSER" in nobody.stderr


def test_any_uid_will_do_and_no_shell_is_needed(docker: Docker, image: str) -> None:
    (found,) = json.loads(docker("image", "inspect", image).stdout)
    assert found["Config"]["Entrypoint"] == ["pgbackfill"]
    assert found["Config"]["Cmd"] == ["run"]
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["Healthcheck"]["Test"][0] == "CMD"
    assert found["Config"]["Labels"]["org.opencontainers.image.version"] == __version__
    done = docker("run", "--rm", "--read-only", "--cap-drop", "ALL", "--user", "54321:54321", image, "--version")
    assert done.returncode == 0, done.stderr
