"""`pgbackfill undo NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pgbackfill.cli.common import Config, Database, Json, say_json, settings_of, with_database
from pgbackfill.cli.control import Name

if TYPE_CHECKING:
    from pgbackfill.database.types import Connection


def undo(
    context: typer.Context, name: Name, config: Config = None, dsn: Database = None, as_json: Json = False
) -> None:
    """Enqueue the job that puts back what another has replaced, where nobody has written the row since."""
    from pgbackfill.database import reports

    async def work(connection: Connection) -> str:
        return await reports.undo(connection, name)

    enqueued = with_database(settings_of(context, config, dsn), work)
    if as_json:
        say_json({"name": name, "undo": enqueued})
    else:
        typer.echo(f"Enqueued {enqueued}; `pgbackfill status {enqueued}` shows it.")
