"""What becomes of each connection option of libpq (the list of Postgres 18)."""

from __future__ import annotations

from collections.abc import Mapping

from pgbackfill.errors import UsageError

# asyncpg reads these from a URI only. Host, port, user, database and password are handed over as arguments.
PASSED_ON = (
    "sslmode",
    "sslcert",
    "sslkey",
    "sslrootcert",
    "sslcrl",
    "sslpassword",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "target_session_attrs",
    "krbsrvname",
    "gsslib",
)

ENVIRONMENT = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSFILE": "passfile",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGOPTIONS": "options",
    "PGAPPNAME": "application_name",
    "PGCLIENTENCODING": "client_encoding",
    "PGREQUIREAUTH": "require_auth",
    "PGCHANNELBINDING": "channel_binding",
    "PGGSSENCMODE": "gssencmode",
    "PGGSSDELEGATION": "gssdelegation",
    "PGSSLMODE": "sslmode",
    "PGSSLNEGOTIATION": "sslnegotiation",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCRL": "sslcrl",
    "PGSSLCRLDIR": "sslcrldir",
    "PGSSLCERTMODE": "sslcertmode",
    "PGSSLMINPROTOCOLVERSION": "ssl_min_protocol_version",
    "PGSSLMAXPROTOCOLVERSION": "ssl_max_protocol_version",
    "PGREQUIREPEER": "requirepeer",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
    "PGLOADBALANCEHOSTS": "load_balance_hosts",
    "PGKRBSRVNAME": "krbsrvname",
    "PGGSSLIB": "gsslib",
    "PGMINPROTOCOLVERSION": "min_protocol_version",
    "PGMAXPROTOCOLVERSION": "max_protocol_version",
}

# Used by pgbackfill itself.
OWN = (
    "host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service", "servicefile", "connect_timeout",
    "options", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
)  # fmt: skip

# pgbackfill sets application_name itself (`pgbackfill/<purpose>`); the others change nothing that can be seen.
WITHOUT_EFFECT = ("application_name", "fallback_application_name", "sslcompression", "sslsni", "sslkeylogfile")

# Values that ask for what happens anyway; any other value would be a promise that cannot be kept.
ONLY = {
    "client_encoding": (("utf8", "utf-8", "auto", "unicode"), "leave it out, everything here is UTF-8"),
    "channel_binding": (
        ("disable", "prefer"),
        "the driver has no channel binding; leave it out and set sslmode=verify-full, which closes the same gap",
    ),
    "gssencmode": (("disable", "prefer"), "the driver has no GSSAPI encryption; use TLS (sslmode)"),
    "gssdelegation": (("0",), "the driver does not delegate credentials; leave it out"),
    "load_balance_hosts": (("disable",), "hosts are tried in their order; leave it out"),
    "sslcertmode": (("allow",), "the driver sends a certificate where there is one; leave it out"),
    "replication": (("false", "off", "no", "0"), "pgbackfill runs SQL, not replication; leave it out"),
    "min_protocol_version": (("3.0",), "the driver speaks protocol 3.0; leave it out"),
    "max_protocol_version": (("3.0", "3.2", "latest"), "the driver speaks protocol 3.0; leave it out"),
    "require_auth": ((), "the driver cannot restrict the way of authentication; leave it out, use verify-full"),
    "requirepeer": ((), "the driver cannot check the server's user; leave it out"),
    "sslcrldir": ((), "the driver reads one file of revoked certificates; use sslcrl"),
    "scram_client_key": ((), "the driver logs in with the password only; use password"),
    "scram_server_key": ((), "the driver logs in with the password only; use password"),
    "hostaddr": ((), "leave out host as well, or name the address as the host"),
}

_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_NUMBERS = (
    "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
)  # fmt: skip
_ALIASES = {"database": "dbname", "username": "user"}


def checked(given: Mapping[str, str]) -> dict[str, str]:
    """The options with aliases resolved. UsageError names the first that is unknown, wrong or cannot be kept."""
    found = {_ALIASES.get(name, name): value for name, value in given.items()}
    if found.pop("ssl", "") in ("true", "1") or found.pop("requiressl", "") == "1":
        found.setdefault("sslmode", "require")
    if "hostaddr" in found and not ("host" in found and found.get("sslmode") == "verify-full"):
        found["host"] = found.pop("hostaddr")
    for name, value in found.items():
        if name in ONLY and value != "":
            allowed, advice = ONLY[name]
            if value.lower() not in allowed:
                raise UsageError(f"The DSN option {name}={value!r} cannot be honoured: {advice}.")
        elif name in _CHOICES and value not in _CHOICES[name]:
            raise UsageError(f"The DSN option {name} must be one of {', '.join(_CHOICES[name])}, not {value!r}.")
        elif name in _NUMBERS and not value.lstrip("-").isdecimal():
            raise UsageError(f"The DSN option {name} must be a whole number, not {value!r}.")
        elif name not in PASSED_ON and name not in OWN and name not in WITHOUT_EFFECT and name not in ONLY:
            raise UsageError(
                f"The DSN option {name!r} is not one of libpq's; a session setting goes into options='-c {name}=...'."
            )
    return found
