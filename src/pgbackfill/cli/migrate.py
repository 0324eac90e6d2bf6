"""`pgbackfill migrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from pgbackfill.cli.common import Config, Database, DryRun, Json, marked, say_json, settings_of, with_database


def migrate(
    context: typer.Context,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it.")] = False,
    dry_run: DryRun = False,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Install or upgrade the schema pgbackfill; running it again changes nothing."""
    from pgbackfill.database import migrate as schema

    if sql:
        typer.echo(schema.migration_sql())
        return
    if dry_run:
        missing = with_database(settings_of(context, config, dsn), schema.pending, check=False)
        if as_json:
            say_json({"pending": missing, "version": max(schema.migrations())} | marked(dry_run))
        elif missing:
            typer.echo("\n".join(f"-- Step {number}\n{schema.migrations()[number]}" for number in missing))
        else:
            typer.echo(f"The schema pgbackfill is up to date (step {max(schema.migrations())}).")
        return
    applied = with_database(settings_of(context, config, dsn), schema.migrate, check=False)
    if as_json:
        say_json({"applied": applied, "version": max(schema.migrations())})
    elif applied:
        typer.echo(f"The schema pgbackfill is now at step {max(applied)}.")
    else:
        typer.echo(f"The schema pgbackfill is up to date (step {max(schema.migrations())}).")
