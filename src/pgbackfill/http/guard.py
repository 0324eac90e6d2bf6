"""Decides who may ask what: Host and Origin against other sites' pages, a bearer token for whatever changes things.

Loopback is no proof of a friend: a page in a browser on the same machine can send requests there, and a name that
resolves to 127.0.0.1 makes them look like its own (DNS rebinding). A browser always tells the truth in Host and
Origin, so those two decide.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from pgbackfill.errors import UsageError
from pgbackfill.http import page
from pgbackfill.settings import HttpSettings

# Monitoring reaches these under whatever name the network gives the pod; they change nothing and tell little.
OPEN_PATHS = frozenset({"/metrics", "/healthz", "/readyz"})
SAFE_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status and one sentence."""

    status: int
    sentence: str


class Guard:
    """Judges a request by its head. `check` returns None for what may pass."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        own = {"localhost", settings.host.lower(), socket.gethostname().lower()}
        self._names = own | {name.lower() for name in settings.allowed_hosts}
        self._loopback = is_loopback(settings.host)

    def check(self, method: str, path: str, headers: Headers) -> Refusal | None:
        if method in SAFE_METHODS and path in OPEN_PATHS:
            return None
        followed = method in SAFE_METHODS and path == page.PATH and _followed_link(headers)
        refused = self._check_host(headers) or (None if followed else self._check_site(headers))
        return refused or (None if method in SAFE_METHODS else self._check_token(headers))

    def _check_host(self, headers: Headers) -> Refusal | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return Refusal(421, "This Host is not a name of this listener; add it to PGBACKFILL_HTTP__ALLOWED_HOSTS.")
        return None

    def _check_site(self, headers: Headers) -> Refusal | None:
        (host,) = headers.getlist("host")
        for origin in headers.getlist("origin"):
            if _place(origin) != host.lower():
                return Refusal(403, "Requests from pages of another origin are refused.")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return Refusal(403, "Requests from pages of another site are refused.")
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        # An address is safe: rebinding needs a name.
        return name in self._names or _is_address(name)

    def _check_token(self, headers: Headers) -> Refusal | None:
        try:
            token = self._settings.read_token()  # a file is read each time, so that a new token works at once
        except UsageError:
            return Refusal(503, "The token file cannot be read, so that nobody can be let in; see the log.")
        if token is None:
            if self._loopback:
                return None
            return Refusal(403, "No token is configured; set PGBACKFILL_HTTP__TOKEN, or listen on 127.0.0.1 only.")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), token.encode()):
            return None
        return Refusal(401, "The request needs the header Authorization: Bearer with the configured token.")


def is_loopback(host: str) -> bool:
    """Whether a listener on `host` can be reached from this machine (or pod) only."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _place(origin: str) -> str | None:
    """Host and port of an origin, in lower case; None where it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _followed_link(headers: Headers) -> bool:
    """Whether a person came here from a chat or a dashboard. The page is the same for everybody and holds no data."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
