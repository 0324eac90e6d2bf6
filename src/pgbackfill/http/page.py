"""The status page: static files of the package, fed by the JSON interface, under a policy that lets in nothing else."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pgbackfill.http.answers import refusal

PATH: Final = "/"

TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# No inline script or style, nothing from elsewhere, no frame around it; and text can nowhere become HTML.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # asked for again each time, and sent again only after an upgrade
}


async def document(request: Request) -> Response:
    """The page itself."""
    return _answer(request, "index.html")


async def part(request: Request) -> Response:
    """A script, the style or the icon, by its name."""
    name = request.path_params["file"]
    return _answer(request, name) if name in _contents() else refusal(404, "The page has no such part.")


ROUTES: Final = (Route(PATH, document, methods=["GET"]), Route("/page/{file}", part, methods=["GET"]))


def _answer(request: Request, name: str) -> Response:
    body, tag = _contents()[name]
    headers = {**_HEADERS, "etag": tag}
    if tag in (each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=TYPES[name[name.rindex(".") :]])


@cache
def _contents() -> dict[str, tuple[bytes, str]]:
    """Every file of the page with its ETag, read once: a request names one of these or nothing."""
    found = ((file.name, file.read_bytes()) for file in (files(__package__) / "static").iterdir())
    return {name: (body, f'"{hashlib.sha256(body).hexdigest()[:20]}"') for name, body in found}
