"""`pgbackfill pause`, `resume`, `cancel`, `retry`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgbackfill.cli.common import Config, Database, Json, say_json, settings_of, with_database

if TYPE_CHECKING:
    from pgbackfill.database.reports import Action
    from pgbackfill.database.types import Connection

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the job.", show_default=False)]


def pause(
    context: typer.Context, name: Name, config: Config = None, dsn: Database = None, as_json: Json = False
) -> None:
    """Pause a job at its next chunk boundary."""
    _command(context, name, "pause", config, dsn, as_json)


def resume(
    context: typer.Context, name: Name, config: Config = None, dsn: Database = None, as_json: Json = False
) -> None:
    """Let a paused job go on."""
    _command(context, name, "resume", config, dsn, as_json)


def cancel(
    context: typer.Context, name: Name, config: Config = None, dsn: Database = None, as_json: Json = False
) -> None:
    """Cancel a job at its next chunk boundary; what is done stays done."""
    _command(context, name, "cancel", config, dsn, as_json)


def retry(
    context: typer.Context, name: Name, config: Config = None, dsn: Database = None, as_json: Json = False
) -> None:
    """Queue a failed or cancelled job again, from where it stopped."""
    _command(context, name, "retry", config, dsn, as_json)


def _command(
    context: typer.Context, name: str, action: Action, config: Path | None, dsn: str | None, as_json: bool
) -> None:
    from pgbackfill.database import reports

    async def work(connection: Connection) -> dict[str, Any]:
        return await reports.command(connection, name, action)

    job = with_database(settings_of(context, config, dsn), work)
    if as_json:
        say_json(job)
    else:
        typer.echo(f"{name}: wanted {job['desired_state']}, {job['status']} now.")
