"""The commands by name. Each module is small and imports what is heavy when it runs: start-up stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pgbackfill import __version__
from pgbackfill.cli import (
    control,
    demo,
    doctor,
    enqueue,
    migrate,
    plan,
    quarantine,
    run,
    shadow,
    simulate,
    status,
    sync_trigger,
    undo,
    verify,
    watch,
)
from pgbackfill.cli.common import Common, Config, Database

app = typer.Typer(
    name="pgbackfill",
    help="Changes millions of rows in a live Postgres table without anybody noticing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pgbackfill {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    config: Config = None,
    dsn: Database = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    context.obj = Common(config=config if config is None else Path(config), dsn=dsn)


app.command("migrate")(migrate.migrate)
app.command("run")(run.run)
app.command("enqueue")(enqueue.enqueue)
app.command("plan")(plan.plan)
app.command("doctor")(doctor.doctor)
app.command("status")(status.status)
app.command("watch")(watch.watch)
app.command("pause")(control.pause)
app.command("resume")(control.resume)
app.command("cancel")(control.cancel)
app.command("retry")(control.retry)
app.command("approve")(control.approve)
app.command("throttle")(control.throttle)
app.command("verify")(verify.verify)
app.command("undo")(undo.undo)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(sync_trigger.app, name="sync-trigger")
app.add_typer(shadow.app, name="shadow")
app.command("demo")(demo.demo)
app.command("simulate")(simulate.simulate)
