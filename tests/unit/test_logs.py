"""Log lines: one event each, in the right form, without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from pgbackfill import logs
from pgbackfill.redact import redact, remember
from pgbackfill.settings import LogSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_json_where_nobody_looks_and_console_on_a_terminal() -> None:
    pipe, terminal = io.StringIO(), Terminal()
    logs.configure(LogSettings(), pipe)
    logs.get_logger(job="users").info("hold", reason="replica_lag 6.2s > 5s (b)", rows=7)
    line = json.loads(pipe.getvalue())
    assert {key: line[key] for key in ("event", "level", "job", "reason", "rows")} == {
        "event": "hold",
        "level": "info",
        "job": "users",
        "reason": "replica_lag 6.2s > 5s (b)",
        "rows": 7,
    }
    assert line["time"].endswith("Z")
    logs.configure(LogSettings(), terminal)
    logs.get_logger(job="users").info("hold")
    assert not terminal.getvalue().startswith("{")
    assert "hold" in terminal.getvalue()


def test_the_level_can_change_under_a_bound_logger() -> None:
    stream = io.StringIO()
    logs.configure(LogSettings(), stream)
    log = logs.get_logger().bind(job="users")
    log.debug("chunk")
    assert stream.getvalue() == ""
    logs.configure(LogSettings(level="debug"), stream)
    log.debug("chunk")
    assert json.loads(stream.getvalue())["event"] == "chunk"


def test_other_libraries_log_in_the_same_form() -> None:
    stream = io.StringIO()
    logs.configure(LogSettings(), stream)
    logging.getLogger("asyncpg").error("failed %s", "there")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["library"], line["level"]) == ("failed there", "asyncpg", "error")


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_reaches_a_line(form: str) -> None:
    stream = io.StringIO()
    logs.configure(LogSettings.model_validate({"format": form}), stream)
    remember("plain-secret-value")
    try:
        raise RuntimeError("cannot use postgres://u:hunter2222@h/d")
    except RuntimeError:
        logs.get_logger(dsn="postgres://u:hunter2222@h/d", http_token="hunter2222").exception(
            "failed", nested={"password": "hunter2222", "list": ["token=hunter2222"]}, literal="a plain-secret-value b"
        )
    logging.getLogger("other").warning("Authorization: Bearer hunter2222")
    assert "RuntimeError" in stream.getvalue()
    assert "hunter2222" not in stream.getvalue()
    assert "plain-secret-value" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://u:p@h/d", "postgres://u:***@h/d"),
        ("postgres://u:p@q@h/d and postgresql://v:w@h", "postgres://u:***@h/d and postgresql://v:***@h"),
        ("postgres://:p@h/d", "postgres://:***@h/d"),
        ("host=h password='it''s' user=u", "host=h password=*** user=u"),
        ("host=h password=p user=u", "host=h password=*** user=u"),
        ("PGPASSWORD=p psql", "PGPASSWORD=*** psql"),
        ('{"token": "p", "a": 1}', '{"token": ***, "a": 1}'),
        ("?sslpassword=p&x=1", "?sslpassword=***&x=1"),
        ("Authorization: Bearer abc.def-1=", "Authorization: Bearer ***"),
        ("h/?Action=connect&X-Amz-Signature=abc&x=1", "h/?Action=connect&X-Amz-Signature=***&x=1"),
        ('password authentication failed for user "u"', 'password authentication failed for user "u"'),
        ("replica_lag 6.2s > 5s (replica-b)", "replica_lag 6.2s > 5s (replica-b)"),
    ],
)
def test_redaction_takes_the_secret_and_leaves_the_rest(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_short_password_is_not_masked_as_an_ordinary_word() -> None:
    remember("postgres")
    remember("short")
    assert redact("short of disk") == "short of disk"
