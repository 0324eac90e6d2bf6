"""`pgbackfill sync-trigger create|drop`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgbackfill.cli.common import Config, Database, Json, say_json, settings_of, with_database
from pgbackfill.durations import parse_duration
from pgbackfill.errors import UsageError

if TYPE_CHECKING:
    from pgbackfill.database.bounded import Patience
    from pgbackfill.database.types import Connection
    from pgbackfill.dualwrite.statements import SyncTrigger

app = typer.Typer(
    help="Triggers that keep a derived column right for new writes, while and after a job fills it.",
    no_args_is_help=True,
)

LockTimeout = Annotated[
    int,
    typer.Option("--lock-timeout-ms", min=1, max=60_000, help="Longest wait for a lock, which others queue behind."),
]
Wait = Annotated[str, typer.Option("--wait", metavar="DURATION", help="How long to try for the lock.")]


def patience(lock_timeout_ms: int, wait: str) -> Patience:
    from pgbackfill.database.bounded import Patience

    return Patience(lock_timeout_ms, parse_duration(wait).total_seconds())


@app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A job, or a new name with TABLE.", show_default=False)],
    table: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="Without a job.", show_default=False)] = None,
    set_clause: Annotated[
        str | None, typer.Option("--set", help="What follows SET, without a job.", show_default=False)
    ] = None,
    when: Annotated[
        str | None, typer.Option("--when", help="Condition on the row t: only then.", show_default=False)
    ] = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it.")] = False,
    lock_timeout_ms: LockTimeout = 100,
    wait: Wait = "60s",
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Install the trigger, before the backfill begins; running it again replaces its expression."""
    from pgbackfill.dualwrite import install, origin

    if (table is None) != (set_clause is None):
        raise UsageError("Give a TABLE together with --set, or the name of an existing job alone.")
    limits = patience(lock_timeout_ms, wait)

    async def work(connection: Connection) -> tuple[SyncTrigger, bool | None]:
        if table is not None and set_clause is not None:
            trigger, relation = await origin.of_assignments(connection, name, table, set_clause, when)
        else:
            trigger, relation = await origin.of_job(connection, name, when)
        return trigger, None if sql else await install.create(connection, trigger, relation, limits)

    trigger, new = with_database(settings_of(context, config, dsn), work)
    if as_json:
        statements = [trigger.create_function(), trigger.create_trigger()]
        say_json(
            {"name": name, "table": trigger.relation, "trigger": trigger.trigger, "created": new, "sql": statements}
        )
    elif new is None:
        typer.echo(f"{trigger.create_function()};\n\n{trigger.create_trigger()};")
    else:
        done = "is installed on" if new else "was there and has the expression now, on"
        typer.echo(f"The trigger {trigger.trigger} {done} {trigger.relation}; enqueue or resume the backfill.")


@app.command("drop")
def drop(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As given to create.", show_default=False)],
    lock_timeout_ms: LockTimeout = 100,
    wait: Wait = "60s",
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Remove the trigger and its function; where there is none, nothing is done."""
    from pgbackfill.dualwrite import install

    limits = patience(lock_timeout_ms, wait)

    async def work(connection: Connection) -> list[str]:
        return await install.drop(connection, name, limits)

    tables = with_database(settings_of(context, config, dsn), work)
    if as_json:
        say_json({"name": name, "tables": tables})
    elif tables:
        typer.echo(f"The sync trigger {name} is gone from {', '.join(tables)}.")
    else:
        typer.echo(f"There is no sync trigger {name}; nothing was done.")
