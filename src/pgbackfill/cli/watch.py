"""`pgbackfill watch [NAME]`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from pgbackfill.cli.common import Config, Database, settings_of


def watch(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of the job; without: the current one.", show_default=False),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="A line a second instead of a screen.")] = False,
    config: Config = None,
    dsn: Database = None,
) -> None:
    """Watch a job live. Keys pause, resume and throttle it, and change its chunk target; q ends the watching only."""
    import anyio

    from pgbackfill.cli.watcher import Watcher

    watcher = Watcher(settings_of(context, config, dsn), name, plain=plain)
    raise typer.Exit(anyio.run(partial(watcher.run)))
