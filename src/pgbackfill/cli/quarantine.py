"""`pgbackfill quarantine list|retry`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgbackfill.cli.common import Config, Database, DryRun, Json, marked, say_json, settings_of, with_database
from pgbackfill.cli.control import Name

if TYPE_CHECKING:
    from pgbackfill.database.types import Connection

app = typer.Typer(help="Rows that a job could not change: list them, run them again.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 1000,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Show the quarantined rows of a job: key, SQLSTATE, message, time."""
    from pgbackfill.database import quarantine

    async def work(connection: Connection) -> list[dict[str, Any]]:
        return await quarantine.entries(connection, name, limit)

    rows = with_database(settings_of(context, config, dsn), work)
    if as_json:
        say_json(rows)
    elif rows:
        from pgbackfill.cli.tables import quarantine_table

        quarantine_table(rows, terminal=sys.stdout.isatty())
    else:
        typer.echo(f"{name}: no row is quarantined.", err=True)


@app.command("retry")
def retry(
    context: typer.Context,
    name: Name,
    dry_run: DryRun = False,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Run the quarantined rows of a job again, each alone; those that succeed leave the quarantine."""
    from pgbackfill.cli import words
    from pgbackfill.database import quarantine
    from pgbackfill.database.dry_run import kept_unless

    async def work(connection: Connection) -> int:
        async with kept_unless(dry_run, connection):
            return await quarantine.retry(connection, name)

    rows = with_database(settings_of(context, config, dsn), work)
    if as_json:
        say_json({"name": name, "rows": rows} | marked(dry_run))
    else:
        said = f"{name}: {rows} quarantined {'row' if rows == 1 else 'rows'} to run again."
        typer.echo(words.as_dry_run(said) if dry_run else said)
