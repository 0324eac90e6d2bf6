"""Settings: flags over environment over file; a wrong one is one sentence that names it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pgbackfill.control.options import PacingOptions
from pgbackfill.errors import UsageError
from pgbackfill.settings import HttpSettings, Settings, load_settings
from pgbackfill.settings_sources import variables


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("PGBACKFILL_"):
            monkeypatch.delenv(name)


def toml(folder: Path, text: str) -> Path:
    path = folder / "pgbackfill.toml"
    path.write_text(text)
    return path


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert settings.pacing == PacingOptions()
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 9188)
    assert (settings.max_concurrent_jobs, settings.lease_s, settings.poll_s) == (2, 30, 1.0)


def test_flags_win_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = toml(tmp_path, 'chunk_target_ms = 10\nlag_soft_s = 2\nlag_hard_s = 9\n[http]\nport = 1\nhost = "::1"\n')
    monkeypatch.setenv("PGBACKFILL_CHUNK_TARGET_MS", "20")
    monkeypatch.setenv("PGBACKFILL_LAG_SOFT_S", "3")
    monkeypatch.setenv("PGBACKFILL_HTTP__PORT", "2")
    settings = load_settings(file, {"chunk_target_ms": 30, "lag_soft_s": None, "http": {"port": None}})
    assert (settings.chunk_target_ms, settings.lag_soft_s, settings.lag_hard_s) == (30, 3, 9)
    assert (settings.http.port, settings.http.host) == (2, "::1")
    assert settings.pacing.chunk_target_ms == 30


def test_every_pacing_option_has_a_flat_variable() -> None:
    names = set(variables(Settings))
    assert {f"PGBACKFILL_{name.upper()}" for name in PacingOptions.model_fields} <= names


def test_reading_again_sees_a_changed_file(tmp_path: Path) -> None:
    file = toml(tmp_path, "chunk_target_ms = 10")
    assert load_settings(file).chunk_target_ms == 10
    toml(tmp_path, "chunk_target_ms = 11")
    assert load_settings(file).chunk_target_ms == 11


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("postgres://a/x", ["postgres://a/x"]),
        (
            "postgres://a,b/x,postgresql://c/x  postgres://d/x",
            ["postgres://a,b/x", "postgresql://c/x", "postgres://d/x"],
        ),
        ("host=a dbname=x", ["host=a dbname=x"]),
        ('["host=a dbname=x", "host=b"]', ["host=a dbname=x", "host=b"]),
    ],
)
def test_replica_dsns_come_in_several_forms(text: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBACKFILL_REPLICA_DSNS", text)
    assert [dsn.get_secret_value() for dsn in load_settings().replica_dsns] == expected


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"PGBACKFILL_CHUNK_TARGET_MS": "fast"},
            "PGBACKFILL_CHUNK_TARGET_MS must be a whole number (ms) from 1 to 60000, not 'fast'.",
        ),
        (
            {"PGBACKFILL_LAG_HARD_S": "0"},
            "PGBACKFILL_LAG_HARD_S must be a number (s) above 0 and at most 86400, not '0'.",
        ),
        ({"PGBACKFILL_LEASE_S": "1"}, "PGBACKFILL_LEASE_S must be a number (s) from 5 to 3600, not '1'."),
        (
            {"PGBACKFILL_HTTP__PORT": "99999"},
            "PGBACKFILL_HTTP__PORT must be a whole number from 0 to 65535, not '99999'.",
        ),
        (
            {"PGBACKFILL_LOG__LEVEL": "chatty"},
            "PGBACKFILL_LOG__LEVEL must be one of debug, info, warning, error, not 'chatty'.",
        ),
        (
            {"PGBACKFILL_CHUNK_TARGET": "5"},
            "PGBACKFILL_CHUNK_TARGET is not a setting; did you mean PGBACKFILL_CHUNK_TARGET_MS.",
        ),
        ({"PGBACKFILL_HTTP_PORT": "80"}, "PGBACKFILL_HTTP_PORT is not a setting; did you mean PGBACKFILL_HTTP__PORT."),
        (
            {"PGBACKFILL_LAG_SOFT_S": "7"},
            "The settings contradict each other: lag_soft_s (7.0) must not be above lag_hard_s (5).",
        ),
        ({"PGBACKFILL_REPLICA_DSNS": "[1"}, "PGBACKFILL_REPLICA_DSNS begins with [ but is not a JSON list."),
        ({"PGBACKFILL_HTTP": "9188"}, "PGBACKFILL_HTTP must be a table of settings, not 9188."),
        (
            {"PGBACKFILL_PARALLELISM": "65"},
            "PGBACKFILL_PARALLELISM must be a whole number (lanes) from 1 to 64, not '65'.",
        ),
    ],
)
def test_a_wrong_variable_is_one_sentence(
    environment: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert str(caught.value) == sentence
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lease = 5", "lease in {file} is not a setting; did you mean lease_s."),
        ("[http]\nprt = 5", "http.prt in {file} is not a setting; did you mean port."),
        ("lease_s = 'long'", "lease_s in {file} must be a number (s) from 5 to 3600, not 'long'."),
        ("dsn = 5", "dsn in {file} must be text."),
    ],
)
def test_a_wrong_entry_of_the_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = toml(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_settings(file)
    assert str(caught.value) == sentence.format(file=file)


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    with pytest.raises(UsageError, match=r"^--http-port must be a whole number"):
        load_settings(None, {"http": {"port": "x"}})


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_settings(tmp_path / "nothing.toml")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_settings(toml(tmp_path, "lease_s"))


def test_what_kubernetes_adds_for_a_service_of_this_name_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGBACKFILL_SERVICE_HOST": "10.0.0.1",
        "PGBACKFILL_SERVICE_PORT": "9188",
        "PGBACKFILL_SERVICE_PORT_HTTP": "9188",
        "PGBACKFILL_PORT": "tcp://10.0.0.1:9188",
        "PGBACKFILL_PORT_9188_TCP": "tcp://10.0.0.1:9188",
        "PGBACKFILL_PORT_9188_TCP_ADDR": "10.0.0.1",
        "PGBACKFILL_METRICS_PORT": "tcp://10.0.0.2:80",
        "PGBACKFILL_METRICS_SERVICE_HOST": "10.0.0.2",
    }.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == Settings()


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBACKFILL_WORK_DSN", "")
    assert load_settings().work_dsn is None


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets: dict[str, Any] = {
        "PGBACKFILL_DSN": "postgres://u:hunter2222@h/d",
        "PGBACKFILL_REPLICA_DSNS": "postgres://u:hunter2222@r/d",
        "PGBACKFILL_HTTP__TOKEN": "hunter2222",
        "PGBACKFILL_PASSWORD_COMMAND": "echo hunter2222",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert "hunter2222" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_a_token_comes_from_its_file_without_the_line_end(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\r\n")
    assert HttpSettings(token_file=file).read_token() == "s3cret"
    file.write_text("\n")
    with pytest.raises(UsageError, match="first line is empty"):
        HttpSettings(token_file=file).read_token()


def test_a_webhook_is_an_address_and_knows_its_events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load_settings().webhook.read_url() is None
    monkeypatch.setenv("PGBACKFILL_WEBHOOK__URL", "https://hooks.example/services/verysecretword")
    monkeypatch.setenv("PGBACKFILL_WEBHOOK__ON", "failed, paused")
    settings = load_settings()
    assert settings.webhook.read_url() == "https://hooks.example/services/verysecretword"
    assert settings.webhook.on == ("failed", "paused")
    assert "verysecretword" not in repr(settings)
    file = tmp_path / "url"
    file.write_text("not an address")
    with pytest.raises(UsageError, match="must hold an address that begins with https"):
        load_settings(None, {"webhook": {"url_file": file}}).webhook.read_url()
    for name, value, says in (
        ("ON", "failed,exploded", "may hold failed, held, paused, finished, not 'exploded'."),
        ("URL", "hooks.example/verysecretword", "must be an address that begins with https:// or http://."),
    ):
        monkeypatch.setenv(f"PGBACKFILL_WEBHOOK__{name}", value)
        with pytest.raises(UsageError) as caught:
            load_settings()
        assert str(caught.value) == f"PGBACKFILL_WEBHOOK__{name} {says}"
        monkeypatch.delenv(f"PGBACKFILL_WEBHOOK__{name}")
