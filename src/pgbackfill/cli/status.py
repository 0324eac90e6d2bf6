"""`pgbackfill status [NAME]`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgbackfill.cli.common import Config, Database, Json, say_json, settings_of, with_database

if TYPE_CHECKING:
    from pgbackfill.database.types import Connection


def status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One job in detail.", show_default=False)] = None,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Show all jobs, or one with its ranges, latest events and quarantined rows."""
    from pgbackfill.database import reports

    settings = settings_of(context, config, dsn)
    if name is None:
        rows = with_database(settings, reports.progress)
        if as_json:
            say_json(rows)
        else:
            from pgbackfill.cli.tables import jobs_table

            jobs_table(rows, terminal=sys.stdout.isatty())
        return

    async def work(connection: Connection) -> dict[str, Any]:
        return await reports.job(connection, name)

    job = with_database(settings, work)
    if as_json:
        say_json(job)
    else:
        from pgbackfill.cli.tables import job_page

        job_page(job, terminal=sys.stdout.isatty())
