"""`pgbackfill shadow create|status|verify|cutover|rollback|abort|drop`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgbackfill.cli.common import Config, Database, Json, say_json, settings_of, with_database
from pgbackfill.cli.enqueue import pairs
from pgbackfill.cli.sync_trigger import LockTimeout, Wait, patience

if TYPE_CHECKING:
    from pgbackfill.database.bounded import Patience
    from pgbackfill.database.types import Connection
    from pgbackfill.shadow.state import Shadow

app = typer.Typer(
    help="Replace a table by a new one under traffic: make it, copy, compare, cut over, and go back.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the shadow.", show_default=False)]


@app.command("create")
def create(
    context: typer.Context,
    name: Name,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Table to replace.", show_default=False)],
    alter: Annotated[
        list[str] | None,
        typer.Option("--alter", help="What follows ALTER TABLE of the new table; may be repeated.", show_default=False),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="A new table that is made already.", show_default=False)
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="Key column; again for each further one.", show_default=False),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", help="Pacing option of the copy, name=value; may be repeated.", show_default=False),
    ] = None,
    lock_timeout_ms: LockTimeout = 100,
    wait: Wait = "60s",
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Make the new table, keep it in step by triggers, and enqueue the copy; run again, it goes on."""
    from pgbackfill.shadow import make

    wanted = make.Wanted(name, table, alter or (), target, key or None, pairs("--option", options, literal=True))
    limits = patience(lock_timeout_ms, wait)

    async def work(connection: Connection) -> Shadow:
        return await make.create(connection, wanted, limits)

    _say(with_database(settings_of(context, config, dsn), work), as_json)


@app.command("status")
def status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Without: all.", show_default=False)] = None,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Show stage, copy, rows, and what comes next."""
    from pgbackfill.shadow import report

    async def work(connection: Connection) -> list[dict[str, Any]]:
        return await report.status(connection, name)

    rows = with_database(settings_of(context, config, dsn), work)
    if as_json:
        say_json(rows)
    elif rows:
        from pgbackfill.cli.tables import shadows_table

        shadows_table(rows, terminal=sys.stdout.isatty())
    else:
        typer.echo("There are no shadows; `pgbackfill shadow create` makes one.", err=True)


@app.command("verify")
def verify(
    context: typer.Context, name: Name, config: Config = None, dsn: Database = None, as_json: Json = False
) -> None:
    """Compare both tables, rows and checksums; exit 1 where they differ."""
    from pgbackfill.shadow import state, swap
    from pgbackfill.shadow import verify as comparison

    async def work(connection: Connection) -> tuple[Shadow, comparison.Comparison]:
        shadow = await state.find(connection, name)
        return shadow, await comparison.compare(connection, shadow)

    shadow, found = with_database(settings_of(context, config, dsn), work)
    if as_json:
        say_json(
            {"name": name, "same": found.same, "rows": found.rows, "follower_rows": found.follower_rows,
             "different_keys": found.different}
        )  # fmt: skip
    elif found.same:
        typer.echo(f"{shadow.label}: both tables hold the same {found.rows:,} rows ({found.ranges} ranges).")
    else:
        typer.echo(swap.different(shadow, found), err=True)
    raise typer.Exit(0 if found.same else 1)


@app.command("cutover")
def cutover(
    context: typer.Context,
    name: Name,
    no_way_back: Annotated[
        bool, typer.Option("--no-way-back", help="The old table does not follow the new one.")
    ] = False,
    lock_timeout_ms: LockTimeout = 100,
    wait: Wait = "60s",
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Compare, then give the name to the new table; the old one is kept, and kept in step."""
    from pgbackfill.shadow import swap

    async def work(connection: Connection, shadow: Shadow, limits: Patience) -> tuple[Shadow, list[str]]:
        done = await swap.cutover(connection, shadow, limits, way_back=not no_way_back)
        return done, await swap.validate(connection, done)

    _swap(context, name, work, lock_timeout_ms, wait, config, dsn, as_json)


@app.command("rollback")
def rollback(
    context: typer.Context,
    name: Name,
    lock_timeout_ms: LockTimeout = 100,
    wait: Wait = "60s",
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Give the name back to the old table; the new one is kept, and kept in step."""
    from pgbackfill.shadow import swap

    async def work(connection: Connection, shadow: Shadow, limits: Patience) -> tuple[Shadow, list[str]]:
        done = await swap.rollback(connection, shadow, limits)
        return done, await swap.validate(connection, done)

    _swap(context, name, work, lock_timeout_ms, wait, config, dsn, as_json)


@app.command("abort")
def abort(
    context: typer.Context,
    name: Name,
    lock_timeout_ms: LockTimeout = 100,
    wait: Wait = "60s",
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Before the cutover: cancel the copy, remove triggers and new table."""
    from pgbackfill.shadow import remove

    async def work(connection: Connection, shadow: Shadow, limits: Patience) -> tuple[Shadow, list[str]]:
        return await remove.abort(connection, shadow, limits), []

    _swap(context, name, work, lock_timeout_ms, wait, config, dsn, as_json)


@app.command("drop")
def drop(
    context: typer.Context,
    name: Name,
    lock_timeout_ms: LockTimeout = 100,
    wait: Wait = "60s",
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """After the cutover: drop the old table, and with it the way back."""
    from pgbackfill.shadow import remove

    async def work(connection: Connection, shadow: Shadow, limits: Patience) -> tuple[Shadow, list[str]]:
        return await remove.drop(connection, shadow, limits), []

    _swap(context, name, work, lock_timeout_ms, wait, config, dsn, as_json)


Step = Callable[["Connection", "Shadow", "Patience"], Awaitable[tuple["Shadow", list[str]]]]


def _swap(
    context: typer.Context,
    name: str,
    step: Step,
    lock_timeout_ms: int,
    wait: str,
    config: Path | None,
    dsn: str | None,
    as_json: bool,
) -> None:
    from pgbackfill.shadow import state

    limits = patience(lock_timeout_ms, wait)

    async def work(connection: Connection) -> tuple[Shadow, list[str]]:
        return await step(connection, await state.find(connection, name), limits)

    shadow, not_valid = with_database(settings_of(context, config, dsn), work)
    _say(shadow, as_json, not_valid)


def _say(shadow: Shadow, as_json: bool, not_valid: list[str] | None = None) -> None:
    from pgbackfill.shadow import report

    if as_json:
        say_json(
            {"name": shadow.name, "stage": str(shadow.stage), "job": shadow.job_name, "not_valid": not_valid or []}
        )
    else:
        typer.echo(report.done(shadow))
    for label in not_valid or []:
        typer.echo(f"The foreign key {label} moved, but could not be validated; look at its rows.", err=True)
