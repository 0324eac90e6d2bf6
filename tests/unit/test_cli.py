"""The command without a database: exit codes, one sentence each, nothing slow at the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pgbackfill import __version__
from pgbackfill.cli.enqueue import pairs

NOBODY_LISTENS = "postgres://app:hunter2222@127.0.0.1:1/shop"


def pgbackfill(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PGBACKFILL_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "pgbackfill", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean | environment,
    )


def test_version_and_help() -> None:
    assert pgbackfill("--version").stdout == f"pgbackfill {__version__}\n"
    for command in (
        "migrate",
        "run",
        "enqueue",
        "plan",
        "doctor",
        "status",
        "pause",
        "resume",
        "cancel",
        "retry",
        "demo",
    ):
        done = pgbackfill(command, "--help")
        assert done.returncode == 0
        assert command in done.stdout


def test_the_migration_is_printed_without_a_database() -> None:
    done = pgbackfill("migrate", "--sql")
    assert done.returncode == 0
    assert "CREATE TABLE pgbackfill.jobs" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (("explode",), {}, "No such command"),
        (("status", "--frob"), {}, "No such option"),
        (("run", "--http-port", "x"), {}, "--http-port must be a whole number from 0 to 65535, not 'x'."),
        (("run",), {"PGBACKFILL_LAG_HARD_S": "-1"}, "PGBACKFILL_LAG_HARD_S must be a number (s) above 0"),
        (
            ("run",),
            {"PGBACKFILL_MAX_ROWS_PER_S": "0"},
            "PGBACKFILL_MAX_ROWS_PER_S must be a whole number (rows) from 1 to",
        ),
        (("status", "--config", "/nothing.toml"), {}, "The configuration file /nothing.toml cannot be read"),
        (("status",), {"PGBACKFILL_CONFIG": "/nothing.toml"}, "The configuration file /nothing.toml cannot be read"),
        (("--dsn", "nonsense", "status"), {}, "The DSN cannot be read"),
        (("enqueue", "j", "t", "--set", "a=1", "--option", "lag"), {}, "--option must be name=value, not 'lag'."),
        (("enqueue", "j", "t", "--handler", "h", "--params", "[]"), {}, "--params must be a JSON object"),
        (("enqueue", "j", "t", "--run-after", "soon"), {}, "--run-after must be a time such as"),
    ],
)
def test_bad_arguments_and_settings_exit_2(arguments: tuple[str, ...], environment: dict[str, str], said: str) -> None:
    done = pgbackfill(*arguments, **environment)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("status", "j", "--json"),
        ("migrate",),
        ("pause", "j"),
        ("run",),
        ("run", "--drain"),
        ("enqueue", "j", "t"),
    ],
)
def test_an_unreachable_database_exits_3_with_one_sentence(arguments: tuple[str, ...]) -> None:
    done = pgbackfill(*arguments, PGBACKFILL_DSN=NOBODY_LISTENS)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == (
        "pgbackfill: The database shop on 127.0.0.1:1 as app does not listen there; "
        "check address and port, and that it runs.\n"
    )


def test_a_flag_wins_over_the_environment() -> None:
    done = pgbackfill("status", "--dsn", "postgres://b@127.0.0.1:1/flag", PGBACKFILL_DSN=NOBODY_LISTENS)
    assert "database flag on" in done.stderr


def test_a_defect_is_one_sentence_with_a_way_to_see_more(tmp_path: Path) -> None:
    # A module that breaks when it is imported stands for any defect.
    (tmp_path / "asyncpg.py").write_text("raise RuntimeError('broken with postgres://u:hunter2222@h/d')\n")
    done = pgbackfill("status", PYTHONPATH=str(tmp_path), PGBACKFILL_DSN=NOBODY_LISTENS)
    assert done.returncode == 70
    assert len(done.stderr.splitlines()) == 1
    assert "set PGBACKFILL_LOG__LEVEL=debug" in done.stderr
    told = pgbackfill("status", PYTHONPATH=str(tmp_path), PGBACKFILL_DSN=NOBODY_LISTENS, PGBACKFILL_LOG__LEVEL="debug")
    assert "Traceback" in told.stderr
    assert "hunter2222" not in done.stderr + told.stderr


def test_nothing_heavy_is_imported_at_the_start() -> None:
    code = "import sys, json, pgbackfill.cli.main; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "asyncpg",
        "anyio",
        "pydantic",
        "pydantic_settings",
        "starlette",
        "uvicorn",
        "structlog",
        "prometheus_client",
    }
    assert heavy.isdisjoint(json.loads(done.stdout))


def test_options_are_read_as_json_has_them() -> None:
    given = ["chunk_max_rows=500", "lag_soft_s=0.5", "synchronous_commit=off", "max_rows_per_s=null"]
    assert pairs("--option", given, literal=True) == {
        "chunk_max_rows": 500,
        "lag_soft_s": 0.5,
        "synchronous_commit": "off",
        "max_rows_per_s": None,
    }
    assert pairs("--session-setting", ["app.tenant=007", "a=b=c"], literal=False) == {"app.tenant": "007", "a": "b=c"}
