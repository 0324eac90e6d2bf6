"""The routes: the page, metrics, health, and the JSON interface. No enqueue: a job is SQL."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import anyio
from h11 import LocalProtocolError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pgbackfill import __version__
from pgbackfill.database.link import UNREACHABLE
from pgbackfill.database.reports import ACTIONS, Action
from pgbackfill.errors import DatabaseUnavailable, UsageError
from pgbackfill.http import page
from pgbackfill.http.answers import answer, refusal
from pgbackfill.http.fields import no_fields, pause_fields, since_parameter, throttle_fields
from pgbackfill.http.guard import SAFE_METHODS, Guard
from pgbackfill.http.plane import ControlPlane
from pgbackfill.logs import get_logger
from pgbackfill.settings import HttpSettings

# Nothing that is posted needs more than an object with two fields.
BODY_MOST_BYTES = 16_384
# A client that sends its body slower than this is not one that pauses a job.
BODY_TIMEOUT_S = 5.0
# Shorter than the usual 10 s of a scraper or probe, so that they see the reason and not a time-out of their own.
DATABASE_TIMEOUT_S = 5.0

Endpoint = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")
log = get_logger()


def create_app(plane: ControlPlane, settings: HttpSettings) -> ASGIApp:
    """The application for one daemon."""

    async def process(request: Request) -> Response:
        links = ["/", "/metrics", "/healthz", "/readyz", "/api/v1/jobs", "/api/v1/signals"]
        return answer(
            {
                "name": "pgbackfill",
                "version": __version__,
                "paused_by": plane.paused_by(),
                **plane.throttled(),
                "links": links,
            }
        )

    async def metrics(request: Request) -> Response:
        body, content_type = plane.metrics.render()
        return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})

    async def healthz(request: Request) -> Response:
        return answer({"status": "ok"})

    async def readyz(request: Request) -> Response:
        reason = await plane.readiness()
        return answer({"status": "ready"}) if reason is None else answer({"status": "not ready", "error": reason}, 503)

    async def jobs(request: Request) -> Response:
        return answer({"jobs": await plane.jobs()})

    async def job(request: Request) -> Response:
        name = request.path_params["name"]
        found = await plane.job(name)
        return answer(found) if found is not None else _no_job(name)

    async def history(request: Request) -> Response:
        name = request.path_params["name"]
        found = plane.history(name, _given(since_parameter, request.query_params))
        return answer(found) if found is not None else _no_job(name)

    async def command(request: Request) -> Response:
        name, action = request.path_params["name"], request.path_params["action"]
        content = request.state.content
        try:
            if action == "throttle":
                return answer(await plane.throttle_job(name, *_given(throttle_fields, content)))
            if action == "unthrottle":
                _given(no_fields, content)
                return answer(await plane.unthrottle_job(name))
            if action not in ACTIONS:
                known = ", ".join((*ACTIONS, "throttle", "unthrottle"))
                return refusal(404, f"There is no action {action!r}; there are {known}.")
            duration = _given(pause_fields if action == "pause" else no_fields, content)
            return answer(await plane.command(name, cast("Action", action), duration=duration))
        except LookupError:
            return _no_job(name)
        except UsageError as error:
            return refusal(409, str(error))

    async def signals(request: Request) -> Response:
        return answer({"signals": plane.signals()})

    async def pause(request: Request) -> Response:
        plane.pause("http", _given(pause_fields, request.state.content))
        return answer({"paused_by": plane.paused_by()})

    async def resume(request: Request) -> Response:
        _given(no_fields, request.state.content)
        plane.resume("http")
        return answer({"paused_by": plane.paused_by()})

    async def throttle(request: Request) -> Response:
        plane.throttle(*_given(throttle_fields, request.state.content))
        return answer(plane.throttled())

    async def unthrottle(request: Request) -> Response:
        _given(no_fields, request.state.content)
        plane.unthrottle()
        return answer(plane.throttled())

    routes = [
        *page.ROUTES,
        *(Route(path, _safely(endpoint), methods=["GET"]) for path, endpoint in (
            ("/metrics", metrics), ("/healthz", healthz), ("/readyz", readyz), ("/api/v1", process),
            ("/api/v1/jobs", jobs), ("/api/v1/jobs/{name}", job), ("/api/v1/jobs/{name}/history", history),
            ("/api/v1/signals", signals),
        )),
        *(Route(path, _safely(endpoint), methods=["POST"]) for path, endpoint in (
            ("/api/v1/jobs/{name}/{action}", command), ("/api/v1/pause", pause), ("/api/v1/resume", resume),
            ("/api/v1/throttle", throttle), ("/api/v1/unthrottle", unthrottle),
        )),
    ]  # fmt: skip
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})
    app.router.redirect_slashes = False
    return _Guarded(app, Guard(settings))


class _Guarded:
    """Lets through what the guard does not refuse."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the server has websockets and lifespan switched off
            raise AssertionError(scope["type"])
        request = Request(scope)
        try:
            refused = self._guard.check(request.method, request.url.path, request.headers)
            if refused is None:
                await self._app(scope, receive, send)
                return
            headers = {"www-authenticate": "Bearer"} if refused.status == 401 else None
            await refusal(refused.status, refused.sentence, headers)(scope, receive, send)
        except LocalProtocolError as error:
            # Behind the request came what is no HTTP, and the server has answered that before us.
            log.debug("request not answered", method=request.method, path=request.url.path, reason=str(error))
        except Exception:
            log.exception("request failed", method=request.method, path=request.url.path)
            raise


def _safely(endpoint: Endpoint) -> Endpoint:
    """The endpoint with a deadline, a checked body, and errors as one sentence."""

    async def guarded(request: Request) -> Response:
        try:
            if request.method not in SAFE_METHODS:
                refused = await _check_body(request)
                if refused is not None:
                    return refused
            with anyio.fail_after(DATABASE_TIMEOUT_S):
                return await endpoint(request)
        except TimeoutError:
            return refusal(503, f"The database did not answer within {DATABASE_TIMEOUT_S:g} s.")
        except _WrongFields as error:
            return refusal(400, str(error))
        except DatabaseUnavailable as error:
            return refusal(503, str(error))
        except UNREACHABLE:
            return refusal(503, "The connection to the database was lost; try again.")
        except Exception:
            log.exception("request failed", method=request.method, path=request.url.path)
            return refusal(500, "The request failed inside pgbackfill; the log of this process says why.")

    return guarded


async def _check_body(request: Request) -> Response | None:
    body = bytearray()
    try:
        with anyio.fail_after(BODY_TIMEOUT_S):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_MOST_BYTES:
                    return refusal(413, f"The body is larger than {BODY_MOST_BYTES} bytes; send {{}}.")
    except TimeoutError:
        return refusal(408, f"The body did not arrive within {BODY_TIMEOUT_S:g} s.")
    except ClientDisconnect:
        return refusal(400, "The body did not arrive.")
    kind = request.headers.get("content-type")
    if (body or kind is not None) and (kind or "").partition(";")[0].strip().lower() != "application/json":
        return refusal(415, "Only JSON is read here; send Content-Type: application/json.")
    try:
        content = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return refusal(400, "The body is not valid JSON; send {}.")
    if not isinstance(content, dict):
        return refusal(400, "The body is not a JSON object; send {}.")
    request.state.content = content
    return None


class _WrongFields(Exception):
    """The sentence about a body whose fields are not those that the request takes."""


def _given(read: Callable[[Mapping[str, Any]], T], content: Mapping[str, Any]) -> T:
    try:
        return read(content)
    except UsageError as error:
        raise _WrongFields(str(error)) from error


def _no_job(name: str) -> Response:
    return refusal(404, f"There is no job {name!r}.")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {
        404: "There is nothing here; /api/v1 lists what there is.",
        405: "This path does not take that method.",
    }
    return refusal(error.status_code, sentences.get(error.status_code, error.detail), error.headers)
