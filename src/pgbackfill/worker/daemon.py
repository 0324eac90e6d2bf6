"""The composition root of the service: which tasks run, and how they end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import structlog
from pydantic import SecretStr

from pgbackfill import __version__
from pgbackfill.control.governor import Governor
from pgbackfill.database import jobs
from pgbackfill.database.connect import connect
from pgbackfill.database.dsn import parse
from pgbackfill.database.link import ANSWER_S, Link, passing
from pgbackfill.database.migrate import check_schema
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError
from pgbackfill.handlers.registry import Handlers
from pgbackfill.metrics import Metrics
from pgbackfill.settings import Settings

from . import heartbeat, listener, os_signals, waiters
from .closer import Closer
from .context import Context
from .monitor import Monitor
from .plane import Plane
from .probes.watch import Watch
from .progress import show_progress
from .roster import Roster, drained
from .throttle import end_in_time
from .webhook import Webhook

log = structlog.get_logger()

NEXT_CONNECTION = frozenset(
    {"dsn", "work_dsn", "direct_dsn", "pooler", "connect_timeout_s", "password_file", "password_command"}
)
NEED_RESTART = frozenset({"http", "log", "handlers"})
"""After SIGHUP: what serves new connections only, and what is made once. Everything else acts at once."""

WORK = "work"
"""The connections that run people's SQL, whose time-outs are people's business; the lane has a deadline for a chunk."""

Serve = Callable[..., Coroutine[Any, Any, None]]
"""`serve(plane, settings, *, task_status)`: answers HTTP until it is cancelled, and says when it listens."""


async def run(settings: Settings, *, drain: bool, serve: Serve | None = None, reload: Callable[[], Settings]) -> int:
    """Works until told to stop, or with `drain` until nothing due is left. The exit code of DESIGN's command line.

    `serve` answers HTTP; `reload` reads the settings again on SIGHUP. Raises DatabaseUnavailable when the database
    cannot be reached or used at the start; later losses are waited out.
    """
    _check_replica_dsns(settings)
    async with AsyncExitStack() as links:

        def link(purpose: str, dsn: str = "dsn") -> Link:
            made = Link(lambda: _connect(context, purpose, dsn))
            links.push_async_callback(made.close)
            return made

        def probe_link(purpose: str, dsn: str | None) -> Link:
            # Closed by its probe, which comes and goes with the settings. A replica's DSN leads to no primary.
            if dsn is None:
                return Link(lambda: _connect(context, purpose, "dsn"))
            return Link(lambda: connect(dsn, settings=context.settings, purpose=purpose))

        context = Context(
            settings=settings,
            governor=Governor(settings.pacing),
            metrics=Metrics(),
            control=link("control"),
            connect_work=link(WORK, "work_dsn").connect,
            handlers=Handlers.load(settings.handlers),
        )
        async with context.control.use() as control:
            await check_schema(control)
        await context.handlers.open(links)
        async with _registered(context), anyio.create_task_group() as background:
            # Before any job is touched: signals would end the process, and a port in use does.
            await background.start(os_signals.receive, context, lambda: _reload(context, reload))
            if serve is not None:
                await background.start(serve, Plane(context, link("http")), settings)
            # A job begins with what is known, and competes little with the first looks at it: whatever watches begins
            # before it, last those whose first look is waited for.
            background.start_soon(Watch(context, link("signals"), probe_link).run)
            background.start_soon(show_progress, context)
            webhook = Webhook(context, link("notifications"))
            background.start_soon(webhook.run)
            background.start_soon(end_in_time, context)
            background.start_soon(waiters.watch, context, link("waiters", "work_dsn"))
            if settings.direct_dsn or settings.pooler != "pgbouncer":
                background.start_soon(listener.listen, context, link("listen", "direct_dsn"))
            async with anyio.create_task_group() as first:
                first.start_soon(background.start, heartbeat.Heart(context, link("canary")).run)
                first.start_soon(background.start, Monitor(context, link("monitor")).run)
            log.info(
                "ready", worker=context.worker_id, version=__version__, drain=drain, handlers=context.handlers.names
            )
            async with anyio.create_task_group() as lanes:
                lanes.start_soon(Roster(context, lanes).run)
                lanes.start_soon(Closer(context, lanes).run)
                if drain:
                    lanes.start_soon(_stop_when_drained, context)
            if drain:
                await webhook.flush()
            background.cancel_scope.cancel()
        log.info("stopped", worker=context.worker_id)
        return await _exit_code(context)


async def _connect(context: Context, purpose: str, name: str) -> Connection:
    """By the settings of this moment, so that after SIGHUP a new password or host serves the next connection."""
    settings = context.settings
    dsn: SecretStr = getattr(settings, name) or settings.dsn
    return await connect(
        dsn.get_secret_value(), settings=settings, purpose=purpose, require_primary=True, cluster=context.cluster,
        answer_s=None if purpose == WORK else ANSWER_S,
    )  # fmt: skip


@asynccontextmanager
async def _registered(context: Context) -> AsyncIterator[None]:
    await heartbeat.register(context)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await heartbeat.deregister(context)


async def _stop_when_drained(context: Context) -> None:
    while not context.stopping:
        if await drained(context):
            context.stop()
        await context.bell.wait(context.settings.poll_s)


def _check_replica_dsns(settings: Settings) -> None:
    """Raises UsageError: waiting mends no typing error."""
    for dsn in settings.replica_dsns:
        parse(dsn.get_secret_value())


def _reload(context: Context, reload: Callable[[], Settings]) -> None:
    try:
        settings = reload()
        _check_replica_dsns(settings)
    except UsageError as error:
        log.error("settings not re-read", error=str(error))
        return
    changed = [
        name for name in type(settings).model_fields if getattr(settings, name) != getattr(context.settings, name)
    ]
    context.settings = settings
    context.governor.update(settings.pacing)
    for lane in context.lanes.values():
        lane.update(lane.job)
    log.info(
        "settings re-read",
        act_now=[name for name in changed if name not in NEXT_CONNECTION | NEED_RESTART],
        next_connection=[name for name in changed if name in NEXT_CONNECTION],
        need_restart=[name for name in changed if name in NEED_RESTART],
    )


async def _exit_code(context: Context) -> int:
    """1 where a job that this process worked on failed."""
    failed: list[str] = []
    try:
        async with context.control.use() as control:
            failed = await jobs.any_failed(control, list(context.worked_on))
    except Exception as error:
        if not passing(error):
            raise
        log.warning("whether a job of this process failed cannot be asked", error=str(error))
    for name in failed:
        log.error("a job of this process failed", job=name)
    return 1 if failed else 0
