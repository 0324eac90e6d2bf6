"""The composition root of the service: which tasks run, and how they end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import structlog

from pgbackfill.control.governor import Governor
from pgbackfill.database import jobs
from pgbackfill.database.connect import connect
from pgbackfill.database.link import UNREACHABLE, Link
from pgbackfill.database.migrate import check_schema
from pgbackfill.database.types import Connection
from pgbackfill.errors import UsageError
from pgbackfill.metrics import Metrics
from pgbackfill.settings import Settings

from . import heartbeat, listener, os_signals
from .context import Context
from .monitor import Monitor
from .plane import Plane
from .progress import show_progress
from .roster import Roster, drained

log = structlog.get_logger()

Serve = Callable[[Plane, Settings], Coroutine[Any, Any, None]]
"""Answers HTTP for the plane until it is cancelled."""


async def run(settings: Settings, *, drain: bool, serve: Serve | None = None, reload: Callable[[], Settings]) -> int:
    """Works until told to stop, or with `drain` until nothing due is left. The exit code of DESIGN's command line.

    `serve` answers HTTP; `reload` reads the settings again on SIGHUP. Raises DatabaseUnavailable when the database
    cannot be reached or used at the start; later losses are waited out.
    """
    dsn = settings.dsn.get_secret_value()
    work_dsn = settings.work_dsn.get_secret_value() if settings.work_dsn else dsn
    context = Context(
        settings=settings,
        governor=Governor(settings.pacing),
        metrics=Metrics(),
        control=_link(dsn, settings, "control"),
        connect_work=_link(work_dsn, settings, "work").connect,
    )
    async with context.control.use() as control:
        await check_schema(control)
    async with _registered(context), anyio.create_task_group() as background:
        background.start_soon(os_signals.receive, context, lambda: _reload(context, reload))
        background.start_soon(heartbeat.beat, context)
        background.start_soon(Monitor(context, _link(dsn, settings, "monitor")).run)
        background.start_soon(show_progress, context)
        listen_dsn = settings.direct_dsn.get_secret_value() if settings.direct_dsn else dsn
        if settings.direct_dsn or settings.pooler != "pgbouncer":
            background.start_soon(listener.listen, context, _link(listen_dsn, settings, "listen"))
        if serve is not None:
            background.start_soon(serve, Plane(context, _link(dsn, settings, "http")), settings)
        log.info("ready", worker=context.worker_id, drain=drain)
        async with anyio.create_task_group() as lanes:
            lanes.start_soon(Roster(context, lanes).run)
            if drain:
                lanes.start_soon(_stop_when_drained, context)
        background.cancel_scope.cancel()
    return await _exit_code(context)


def _link(dsn: str, settings: Settings, purpose: str) -> Link:
    async def open_connection() -> Connection:
        return await connect(dsn, settings=settings, purpose=purpose, require_primary=True)

    return Link(open_connection)


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


def _reload(context: Context, reload: Callable[[], Settings]) -> None:
    try:
        settings = reload()
    except UsageError as error:
        log.error("settings not re-read", error=str(error))
        return
    context.settings = settings
    context.governor.update(settings.pacing)
    for lane in context.lanes.values():
        lane.update(lane.job)
    log.info("settings re-read")


async def _exit_code(context: Context) -> int:
    """1 where a job that this process worked on failed."""
    try:
        async with context.control.use() as control:
            failed = await jobs.any_failed(control, list(context.worked_on))
    except UNREACHABLE:
        failed = []
    finally:
        await context.control.close()
    for name in failed:
        log.error("a job of this process failed", job=name)
    return 1 if failed else 0
