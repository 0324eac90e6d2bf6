"""Connection strings, as libpq reads them."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest

from pgbackfill.database import dsn_options
from pgbackfill.database.dsn import parse, session_options
from pgbackfill.database.socket_options import (
    KEEPALIVE_COUNT,
    KEEPALIVE_IDLE_S,
    KEEPALIVE_INTERVAL_S,
    USER_TIMEOUT_MS,
)
from pgbackfill.errors import UsageError
from pgbackfill.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("PG") and not name.startswith("PGBACKFILL_TEST"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGSYSCONFDIR", str(tmp_path / "etc"))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "hosts", "user", "database", "password"),
    [
        ("postgresql://u@h/d", [("h", "5432")], "u", "d", None),
        ("postgres://u:p%40%2F%3A%23@h:1/d%20e", [("h", "1")], "u", "d e", "p@/:#"),
        ("postgres://u:a@b@h/d", [("h", "5432")], "u", "d", "a@b"),
        ("postgres://u@[::1]:5,h2/d", [("::1", "5"), ("h2", "5432")], "u", "d", None),
        ("postgres://u@%2Ftmp%2Fs/d", [("/tmp/s", "5432")], "u", "d", None),
        ("postgres://u@/d?host=/tmp/s&port=6", [("/tmp/s", "6")], "u", "d", None),
        ("postgres://u@h", [("h", "5432")], "u", "u", None),
        ("host=h user=u dbname='a \\'b\\\\'", [("h", "5432")], "u", "a 'b\\", None),
        (" host = h1,h2  port = 5 user=u  password='' ", [("h1", "5"), ("h2", "5")], "u", "u", None),
        ("hostaddr=10.0.0.1 user=u", [("10.0.0.1", "5432")], "u", "u", None),
        ("postgres://u@h/d?database=e", [("h", "5432")], "u", "e", None),
    ],
)
def test_uris_and_pairs(
    text: str, hosts: list[tuple[str, str]], user: str, database: str, password: str | None
) -> None:
    dsn = parse(text)
    assert (list(dsn.hosts), dsn.user, dsn.database, dsn.password) == (hosts, user, database, password)


def test_nothing_at_all_means_this_machine_and_this_user() -> None:
    dsn = parse("")
    assert dsn.hosts[-1] == ("localhost", "5432")
    assert (dsn.user, dsn.database) == (getpass.getuser(), getpass.getuser())


def test_a_uid_without_a_name_must_be_told_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    with pytest.raises(UsageError, match="or PGUSER"):
        parse("postgresql://h/d")
    assert parse("postgresql://u@h/d").user == "u"


def test_the_string_wins_over_the_service_over_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".pg_service.conf").write_text(
        "# production\n[prod]\nhost=service\nport=7\nuser=service\npassword=a=b%c\n[other]\nhost=x\n"
    )
    monkeypatch.setenv("PGSERVICE", "prod")
    monkeypatch.setenv("PGHOST", "environment")
    monkeypatch.setenv("PGDATABASE", "environment")
    monkeypatch.setenv("PGUSER", "environment")
    dsn = parse("user=string")
    assert (dsn.hosts, dsn.user, dsn.database) == ((("service", "7"),), "string", "environment")
    assert dsn.password == "a=b%c"
    assert parse("service=other user=u").hosts == (("x", "5432"),)


def test_pgpass_is_read_as_libpq_reads_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passfile = home / ".pgpass"
    passfile.write_text(
        "# comment\nother:*:*:*:no\nh:5432:d:u:col\\:on\\\\slash\nlocalhost:*:*:u:socket\n*:*:*:*:any\n"
    )
    passfile.chmod(0o600)
    assert parse("postgres://u@h/d").fallback_password() == "col:on\\slash"
    assert parse("host=/tmp user=u dbname=d").fallback_password() == "socket"
    assert parse("postgres://v@h/d").fallback_password() == "any"
    monkeypatch.setenv("PGPASSWORD", "environment")
    assert parse("postgres://u@h/d").fallback_password() == "environment"


def test_a_pgpass_that_others_can_read_is_said_and_not_passed_over(home: Path) -> None:
    passfile = home / "pass"
    passfile.write_text("*:*:*:*:secret\n")
    passfile.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 0600") as caught:
        parse(f"host=h passfile={passfile}").fallback_password()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("postgres://u:geheim/nis@h/d", "The DSN's user name or password holds a slash; write it as %2F."),
        ("postgres://u:100%@h/d", "The DSN holds a percent sign that begins no escape; write it as %25."),
        ("host=h geheim", "The DSN cannot be read after 'host'; write postgresql://user@host:port/database"),
        ("h", "The DSN cannot be read; write postgresql://user@host:port/database"),
        ("postgres://h/d?sslmode", "The DSN's option 'sslmode' has no value; write sslmode=value."),
        ("postgres://h:x/d", "The DSN's host 'h:x' cannot be read; write host:port"),
        ("host=h port=0", "The DSN's port '0' is not a port; give a number from 1 to 65535."),
        ("host=a,b,c port=1,2", "The DSN has 2 ports for 3 hosts; give one port, or one for each host."),
        ("postgres://h/d?statement_timeout=5", "The DSN option 'statement_timeout' is not one of libpq's; a session"),
        ("postgres://h/d?sslmode=maybe", "The DSN option sslmode must be one of disable, allow, prefer, require,"),
        ("host=h connect_timeout=soon", "The DSN option connect_timeout must be a whole number, not 'soon'."),
        ("postgres://h/d?channel_binding=require", "The DSN option channel_binding='require' cannot be honoured: "),
        ("host=h gssencmode=require", "The DSN option gssencmode='require' cannot be honoured: "),
        ("host=h require_auth=scram-sha-256", "The DSN option require_auth='scram-sha-256' cannot be honoured: "),
        ("host=h client_encoding=latin1", "The DSN option client_encoding='latin1' cannot be honoured: "),
        ("service=nothing", "The service 'nothing' is not in "),
    ],
)
def test_what_cannot_be_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert str(caught.value).startswith(sentence)
    assert "geheim" not in str(caught.value)


def test_what_asks_for_nothing_special_is_taken() -> None:
    dsn = parse(
        "postgres://u@h/d?channel_binding=prefer&gssencmode=disable&keepalives_idle=3&application_name=x"
        "&client_encoding=UTF8&target_session_attrs=read-write&sslmode=verify-full&connect_timeout=4"
    )
    assert dsn.connect_timeout_s == 4.0
    assert dsn.tls_uri() == "postgresql://?sslmode=verify-full&target_session_attrs=read-write"


def test_every_option_has_one_fate() -> None:
    fates = [*dsn_options.PASSED_ON, *dsn_options.OWN, *dsn_options.WITHOUT_EFFECT, *dsn_options.ONLY]
    doubled = {name for name in fates if fates.count(name) > 1}
    assert doubled == {"hostaddr"}  # ours, unless it would contradict the certificate's host
    assert set(dsn_options.ENVIRONMENT.values()) <= set(fates)


def test_options_become_settings() -> None:
    assert session_options("-c work_mem=5MB --search-path='a b' -cjit=off") == {
        "work_mem": "5MB",
        "search_path": "a b",
        "jit": "off",
    }
    with pytest.raises(UsageError, match="write them as -c name=value"):
        session_options("-B 5")


def test_a_dsn_shows_no_password() -> None:
    dsn = parse("postgres://u:geheimnis@h/d?sslpassword=geheimer")
    assert "geheim" not in f"{dsn} {dsn!r}"
    assert str(dsn) == "database d on h:5432 as u"


def test_a_dead_peer_is_noticed_before_the_lease_ends() -> None:
    noticed_s = KEEPALIVE_IDLE_S + KEEPALIVE_INTERVAL_S * KEEPALIVE_COUNT
    assert noticed_s * 1_000 == USER_TIMEOUT_MS
    assert noticed_s < Settings().lease_s / 2
