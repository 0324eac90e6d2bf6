"""`pgbackfill doctor`."""

from __future__ import annotations

import typer

from pgbackfill.cli.common import Config, Database, Json, say_json, settings_of, with_database


def doctor(context: typer.Context, config: Config = None, dsn: Database = None, as_json: Json = False) -> None:
    """Look for what stands in a migration's way, each with what to do. Exit 1: a problem, or something out of sight."""
    from pgbackfill.doctor import text
    from pgbackfill.doctor.examination import examine

    checks = with_database(settings_of(context, config, dsn), examine, check=False)
    if as_json:
        say_json(text.document(checks))
    else:
        typer.echo(text.text(checks))
    raise typer.Exit(0 if text.healthy(checks) else 1)
