"""`pgbackfill run`: the daemon with its HTTP listener."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from pgbackfill.cli.common import Config, Database, settings_of

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

    from pgbackfill.settings import Settings
    from pgbackfill.worker.plane import Plane


def run(
    context: typer.Context,
    drain: Annotated[bool, typer.Option("--drain", help="Exit when nothing due is left.")] = False,
    config: Config = None,
    dsn: Database = None,
    http: Annotated[bool | None, typer.Option("--http/--no-http", help="Whether to answer HTTP.")] = None,
    http_host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)] = None,
    http_port: Annotated[str | None, typer.Option(help="Port to listen on.", show_default=False)] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default=False)] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, console or json.", show_default=False)] = None,
    max_concurrent_jobs: Annotated[str | None, typer.Option(help="Jobs at once.", show_default=False)] = None,
    handlers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE", help="Python module that registers handlers; may be repeated.", show_default=False
        ),
    ] = None,
) -> None:
    """Work on jobs until told to stop. SIGTERM finishes the chunk; SIGUSR1 pauses, SIGUSR2 resumes, SIGHUP re-reads."""
    import anyio

    from pgbackfill import logs
    from pgbackfill.worker import daemon

    overrides = {
        "http": {"enabled": http, "host": http_host, "port": http_port},
        "log": {"level": log_level, "format": log_format},
        "max_concurrent_jobs": max_concurrent_jobs,
        "handlers": handlers or None,
    }

    def load() -> Settings:
        settings = settings_of(context, config, dsn, overrides)
        logs.configure(settings.log)
        return settings

    settings = load()
    serve = _serve if settings.http.enabled else None
    raise typer.Exit(anyio.run(partial(daemon.run, settings, drain=drain, serve=serve, reload=load)))


async def _serve(plane: Plane, settings: Settings, *, task_status: TaskStatus[int]) -> None:
    from pgbackfill.http import create_app, serve

    await serve(create_app(plane, settings.http), settings.http, task_status=task_status)
