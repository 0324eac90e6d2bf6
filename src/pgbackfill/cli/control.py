"""`pgbackfill pause`, `resume`, `cancel`, `retry`, `approve`, `throttle`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgbackfill.cli.common import Config, Database, DryRun, Json, marked, say_json, settings_of, with_database
from pgbackfill.durations import parse_duration
from pgbackfill.errors import UsageError

if TYPE_CHECKING:
    from pgbackfill.database.reports import Action
    from pgbackfill.database.types import Connection

Lasting = Annotated[
    str | None, typer.Option("--for", metavar="DURATION", help="How long, as in 90s, 30m, 2h.", show_default=False)
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the job.", show_default=False)]


def pause(
    context: typer.Context,
    name: Name,
    lasting: Lasting = None,
    dry_run: DryRun = False,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Pause a job at its next chunk boundary, for a while or until somebody resumes it."""
    _command(context, name, "pause", dry_run, config, dsn, as_json, lasting)


def resume(
    context: typer.Context,
    name: Name,
    dry_run: DryRun = False,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Let a paused job go on."""
    _command(context, name, "resume", dry_run, config, dsn, as_json)


def cancel(
    context: typer.Context,
    name: Name,
    dry_run: DryRun = False,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Cancel a job at its next chunk boundary; what is done stays done."""
    _command(context, name, "cancel", dry_run, config, dsn, as_json)


def retry(
    context: typer.Context,
    name: Name,
    dry_run: DryRun = False,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Queue a failed or cancelled job again, from where it stopped."""
    _command(context, name, "retry", dry_run, config, dsn, as_json)


def approve(
    context: typer.Context,
    name: Name,
    dry_run: DryRun = False,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Let a job begin that waits for approval."""
    _command(context, name, "approve", dry_run, config, dsn, as_json)


def throttle(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of the job; without: every job.", show_default=False)
    ] = None,
    ratio: Annotated[
        float | None, typer.Option("--ratio", help="Share of the pace, as in 0.5 for half.", show_default=False)
    ] = None,
    lasting: Lasting = None,
    off: Annotated[bool, typer.Option("--off", help="End the throttle; without NAME every throttle.")] = False,
    dry_run: DryRun = False,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Let a job, or every job of the database, make only a share of its pace for a while."""
    from pgbackfill.cli import words
    from pgbackfill.database import reports
    from pgbackfill.database.dry_run import kept_unless

    if off == (ratio is not None or lasting is not None) or (not off and (ratio is None or lasting is None)):
        raise UsageError("Say what share of the pace and for how long, as in --ratio 0.5 --for 30m; or say --off.")
    duration = None if lasting is None else parse_duration(lasting)

    async def work(connection: Connection) -> tuple[Any, dict[str, Any] | None]:
        async with kept_unless(dry_run, connection):
            if ratio is None or duration is None:
                done: Any = await reports.unthrottle(connection, name)
            else:
                done = await reports.throttle(connection, name, ratio, duration)
            return done, None if name is None else await reports.progress_of(connection, name)

    done, job = with_database(settings_of(context, config, dsn), work)
    if as_json:
        answer = job or ({"ended": done} if off else {"throttle_ratio": ratio, "throttle_until": done})
        say_json(answer | marked(dry_run))
    else:
        said = words.unthrottled(job, done) if off else words.throttled(job, ratio or 0.0, done)
        typer.echo(words.as_dry_run(said) if dry_run else said)


def _command(
    context: typer.Context,
    name: str,
    action: Action,
    dry_run: bool,
    config: Path | None,
    dsn: str | None,
    as_json: bool,
    lasting: str | None = None,
) -> None:
    from pgbackfill.cli import words
    from pgbackfill.database import reports
    from pgbackfill.database.dry_run import kept_unless

    duration = None if lasting is None else parse_duration(lasting)

    async def work(connection: Connection) -> dict[str, Any]:
        async with kept_unless(dry_run, connection):
            return await reports.command(connection, name, action, duration=duration)

    job = with_database(settings_of(context, config, dsn), work)
    if as_json:
        say_json(job | marked(dry_run))
    else:
        said = words.told(job)
        typer.echo(words.as_dry_run(said) if dry_run else said)
