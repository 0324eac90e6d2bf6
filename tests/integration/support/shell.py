"""Runs the command line as somebody types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


class Shell:
    """Runs `pgbackfill` with one database."""

    def __init__(self, dsn: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PGBACKFILL_"))}
        self._environment = clean | {"PGBACKFILL_DSN": dsn}

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Standard output, or standard error where another exit code than 0 is expected."""
        done = self._run(arguments, code)
        if code:
            assert done.stdout == ""
            assert done.stderr.startswith("pgbackfill: ")
            assert len(done.stderr.splitlines()) == 1
            return done.stderr
        return done.stdout

    def output(self, *arguments: str, code: int) -> str:
        """Standard output, whatever the exit code means."""
        return self._run(arguments, code).stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))

    def _run(self, arguments: tuple[str, ...], code: int) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "pgbackfill", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self._environment,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done
