"""Reads libpq connection strings: URI, `key=value`, service file, PG* variables.

asyncpg reads URIs only, takes no service without one, and sends every option that it does not know to the server as
a setting, which refuses the connection. So everything is resolved here, and asyncpg gets what it understands.
"""

from __future__ import annotations

import configparser
import getpass
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlencode

from pgbackfill.database import dsn_options
from pgbackfill.database.passfile import lookup
from pgbackfill.errors import UsageError
from pgbackfill.redact import redact, remember

__all__ = ["Dsn", "parse", "redact"]

_URI = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_PAIR = re.compile(r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)")
_SOCKET_DIRECTORIES = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # Debian's, Red Hat's, upstream's default


@dataclass(frozen=True, slots=True)
class Dsn:
    """A connection string with everything that libpq would have added. Its repr holds no secret."""

    parameters: Mapping[str, str] = field(repr=False)
    hosts: tuple[tuple[str, str], ...]  # (host or socket directory, port)
    user: str
    database: str

    def __str__(self) -> str:
        places = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"database {self.database} on {places} as {self.user}"

    @property
    def connect_timeout_s(self) -> float | None:
        """From `connect_timeout`; None where it is not given or 0, which libpq reads as "for ever"."""
        value = float(self.parameters.get("connect_timeout", 0))
        return value if value > 0 else None

    @property
    def password(self) -> str | None:
        """From the connection string or the service file."""
        return self.parameters.get("password") or None

    def fallback_password(self) -> str | None:
        """From PGPASSWORD, else from the pgpass file, which is read again at each call."""
        if os.environ.get("PGPASSWORD"):
            return os.environ["PGPASSWORD"]
        named = self.parameters.get("passfile")
        path = Path(named) if named else _home() / ".pgpass"
        return lookup(path, self.hosts, self.database, self.user)

    def places(self) -> list[Dsn]:
        """The hosts one by one, in their order; together where the choice among them is the driver's."""
        if self.parameters.get("target_session_attrs") == "prefer-standby":
            return [self]
        return [replace(self, hosts=(host,)) for host in self.hosts]

    def tls_uri(self) -> str:
        """A URI that carries what asyncpg takes from nowhere else; host, user and password are handed over apart."""
        passed = {name: self.parameters[name] for name in dsn_options.PASSED_ON if name in self.parameters}
        return "postgresql://?" + urlencode(passed)


def parse(text: str) -> Dsn:
    """Reads a connection string, completed as libpq would from its service, the environment and defaults.

    Raises UsageError with one sentence that names the option; the sentence never holds a password.
    """
    given = _uri(text.strip()) if _URI.match(text.strip()) else _key_values(text)
    service = given.get("service") or os.environ.get("PGSERVICE")
    if service:
        given = _service(service, given.get("servicefile")) | given
    environment = {name: os.environ[key] for key, name in dsn_options.ENVIRONMENT.items() if os.environ.get(key)}
    parameters = dsn_options.checked(environment | given)
    remember(given.get("password"), parameters.get("sslpassword"))

    user = parameters.get("user") or _login_name()
    return Dsn(parameters, _hosts(parameters), user, parameters.get("dbname") or user)


def _uri(text: str) -> dict[str, str]:
    rest = text[text.index("://") + 3 :]
    rest, _, query = rest.partition("?")
    found: dict[str, str] = {}
    authority, slash, database = rest.partition("/")
    if "@" in rest and "@" not in authority:
        raise UsageError("The DSN's user name or password holds a slash; write it as %2F.")
    credentials, at, places = authority.rpartition("@")
    if at:
        user, colon, password = credentials.partition(":")
        found |= {"user": _decode(user)} if user else {}
        found |= {"password": _decode(password)} if colon else {}
    hosts, ports = [], []
    for place in places.split(",") if places else []:
        match = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]*)(?::(\d*))?", place)
        if match is None:
            raise UsageError(f"The DSN's host {redact(place)!r} cannot be read; write host:port, or [address]:port.")
        hosts.append(_decode(match.group(1).strip("[]")))
        ports.append(match.group(2) or "")
    found |= {"host": ",".join(hosts)} if any(hosts) else {}
    found |= {"port": ",".join(ports)} if any(ports) else {}
    found |= {"dbname": _decode(database)} if slash and database else {}
    for pair in query.split("&") if query else []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"The DSN's option {name!r} has no value; write {name}=value.")
        found[_decode(name)] = _decode(value)
    return found


def _key_values(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _PAIR.match(text, position)
        if match is None:
            last = f" after {list(found)[-1]!r}" if found else ""
            raise UsageError(
                f"The DSN cannot be read{last}; write postgresql://user@host:port/database, "
                "or key=value pairs with values in single quotes where they hold blanks."
            )
        value = match.group(2)
        if value.startswith("'"):
            value = value[1:-1]
        found[match.group(1)] = re.sub(r"\\(.)", r"\1", value)
        position = match.end()
    return found


def _service(name: str, file: str | None) -> dict[str, str]:
    candidates = [Path(path) for path in (file, os.environ.get("PGSERVICEFILE")) if path][:1]
    candidates = candidates or [_home() / ".pg_service.conf"]
    candidates.append(Path(os.environ.get("PGSYSCONFDIR", "/etc/postgresql-common")) / "pg_service.conf")
    for path in candidates:
        services = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
        services.optionxform = str  # type: ignore[assignment, method-assign] # names as written
        try:
            services.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            raise UsageError(f"The service file {path} cannot be read; write [name] and key=value lines.") from None
        if services.has_section(name):
            return dict(services.items(name))
    places = " or ".join(str(path) for path in candidates)
    raise UsageError(f"The service {name!r} is not in {places}; add a section [{name}] there.")


def _hosts(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    hosts = [host for host in parameters.get("host", "").split(",") if host]
    ports = parameters.get("port", "").split(",")
    if not hosts:
        port = ports[0] or "5432"
        found = [path for path in _SOCKET_DIRECTORIES if (Path(path) / f".s.PGSQL.{port}").exists()]
        hosts = [*found, "localhost"]
        ports = ports[:1]
    if len(ports) == 1:
        ports = ports * len(hosts)
    if len(ports) != len(hosts):
        raise UsageError(f"The DSN has {len(ports)} ports for {len(hosts)} hosts; give one port, or one for each host.")
    for port in ports:
        if port and not (port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(f"The DSN's port {port!r} is not a port; give a number from 1 to 65535.")
    return tuple((host, port or "5432") for host, port in zip(hosts, ports, strict=True))


def _decode(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise UsageError("The DSN holds a percent sign that begins no escape; write it as %25.")
    return unquote(text)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid often has no name
        raise UsageError(
            "No database user is named, and this uid has no name to take instead; "
            "set PGBACKFILL_DSN to postgresql://user@host/database, or PGUSER."
        ) from None


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111 # Path.home() raises where there is none


def session_options(options: str) -> dict[str, str]:
    """libpq's `options` (`-c name=value --name=value`) as settings."""
    settings: dict[str, str] = {}
    words = iter(shlex.split(options))
    for word in words:
        pair = next(words, "") if word == "-c" else word.removeprefix("-c") if word.startswith("-c") else word[2:]
        name, equals, value = pair.partition("=")
        if not equals or not (word.startswith(("-c", "--"))):
            raise UsageError(f"The DSN's options hold {word!r}; write them as -c name=value.")
        settings[name.replace("-", "_")] = value
    return settings
