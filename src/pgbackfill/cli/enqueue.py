"""`pgbackfill enqueue`: an INSERT into pgbackfill.jobs for people who have no psql at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgbackfill.cli.common import Config, Database, DryRun, Json, marked, say_json, settings_of, with_database

if TYPE_CHECKING:
    from pgbackfill.database.reports import NewJob
    from pgbackfill.database.types import Connection

Text = str | None
Texts = list[str] | None


def _option(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, show_default=False, **more)


def enqueue(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people will call the job.", show_default=False)],
    table_name: Annotated[str, typer.Argument(metavar="TABLE", help="Table that is walked.", show_default=False)],
    set_clause: Annotated[Text, _option("--set", "What follows SET.")] = None,
    where_clause: Annotated[Text, _option("--where", "Which rows need it.")] = None,
    from_clause: Annotated[Text, _option("--from", "Further FROM or USING items.")] = None,
    operation: Annotated[
        Text, _option("--operation", "update, delete, statement, copy or handler; guessed from the other options.")
    ] = None,
    statement: Annotated[Text, _option("--statement", "One statement that reads its keys from `chunk`.")] = None,
    target_table: Annotated[Text, _option("--target-table", "Where a copy goes.")] = None,
    handler: Annotated[Text, _option("--handler", "Name of a registered coroutine.")] = None,
    params: Annotated[Text, _option("--params", "JSON object for the handler.")] = None,
    key_columns: Annotated[Texts, _option("--key", "Key column; again for each further one.")] = None,
    from_key: Annotated[Texts, _option("--from-key", "First key; again for each further column.")] = None,
    to_key: Annotated[Texts, _option("--to-key", "Last key; again for each further column.")] = None,
    session_settings: Annotated[
        Texts, _option("--session-setting", "name=value for SET LOCAL; may be repeated.")
    ] = None,
    options: Annotated[Texts, _option("--option", "Pacing option name=value; may be repeated.")] = None,
    priority: Annotated[int, _option("--priority", "Higher first.")] = 0,
    run_after: Annotated[Text, _option("--run-after", "Not before this time, in ISO 8601.")] = None,
    finalize: Annotated[Text, _option("--finalize", "JSON list of steps that follow the last chunk.")] = None,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Keep what is replaced, for undo.")] = False,
    undo_set_clause: Annotated[Text, _option("--undo-set", "The inverse of --set, for undo.")] = None,
    hours: Annotated[
        Texts, _option("--hours", 'When it may run, as in "Mon-Fri 22:00-06:00"; may be repeated.')
    ] = None,
    time_zone: Annotated[Text, _option("--time-zone", "Of --hours, as in Europe/Berlin.")] = None,
    only_while: Annotated[
        Texts, _option("--only-while", 'Condition on a signal, as in "checkout_load < 100"; may be repeated.')
    ] = None,
    after: Annotated[Texts, _option("--after", "Job that must have succeeded before; may be repeated.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Begin only after `pgbackfill approve`.")] = False,
    paused: Annotated[bool, typer.Option("--paused", help="Enqueue it paused.")] = False,
    dry_run: DryRun = False,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Enqueue a job. A job of that name that exists already is left as it is."""
    from pgbackfill.database import reports
    from pgbackfill.database.dry_run import kept_unless

    job = new_job(context.params)

    async def work(connection: Connection) -> int | None:
        async with kept_unless(dry_run, connection):
            return await reports.enqueue(connection, job)

    job_id = with_database(settings_of(context, config, dsn), work)
    if as_json:
        enqueued = job_id is not None
        say_json({"name": name, "id": None if dry_run else job_id, "enqueued": enqueued} | marked(dry_run))
    elif job_id is None:
        typer.echo(f"A job {name} exists already and was left as it is.")
    elif dry_run:
        typer.echo(f"Dry run: {name} would be enqueued; `pgbackfill plan` with the same words says what it would do.")
    else:
        typer.echo(f"Enqueued {name}; `pgbackfill status {name}` shows it.")


def new_job(flags: Mapping[str, Any]) -> NewJob:
    """The job that the flags of this command describe."""
    from pgbackfill.database import reports

    return reports.NewJob(
        name=flags["name"],
        table_name=flags["table_name"],
        operation=flags["operation"]
        or _operation(flags["set_clause"], flags["statement"], flags["target_table"], flags["handler"]),
        set_clause=flags["set_clause"],
        from_clause=flags["from_clause"],
        where_clause=flags["where_clause"],
        statement=flags["statement"],
        target_table=flags["target_table"],
        handler=flags["handler"],
        params=_object(flags["params"]),
        key_columns=list(flags["key_columns"] or ()) or None,
        from_key=list(flags["from_key"] or ()) or None,
        to_key=list(flags["to_key"] or ()) or None,
        session_settings=pairs("--session-setting", flags["session_settings"], literal=False),
        options=pairs("--option", flags["options"], literal=True),
        priority=flags["priority"],
        run_after=_time(flags["run_after"]),
        desired_state="pause" if flags["paused"] else "run",
        finalize=_list(flags["finalize"]),
        keep_old=flags["keep_old"],
        undo_set_clause=flags["undo_set_clause"],
        windows=_windows(flags["hours"], flags["time_zone"], flags["only_while"]),
        after=list(flags["after"] or ()),
        approve=flags["approve"],
    )


def _windows(hours: Texts, time_zone: Text, only_while: Texts) -> dict[str, Any] | None:
    given = {"hours": list(hours or ()) or None, "time_zone": time_zone, "only_while": list(only_while or ()) or None}
    return {name: value for name, value in given.items() if value is not None} or None


def _operation(set_clause: Text, statement: Text, target_table: Text, handler: Text) -> str:
    if set_clause is None:
        for operation, value in (("statement", statement), ("copy", target_table), ("handler", handler)):
            if value is not None:
                return operation
    return "update"


def pairs(flag: str, pairs: Texts, *, literal: bool) -> dict[str, Any]:
    from pgbackfill.errors import UsageError

    found: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{flag} must be name=value, not {pair!r}.")
        found[name.strip()] = _literal(value.strip()) if literal else value
    return found


def _literal(text: str) -> Any:
    """A number, true, false or null as JSON has them, else text."""
    if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?|true|false|null", text):
        try:
            return json.loads(text)
        except ValueError:  # 007
            return text
    return text


def _object(text: Text) -> dict[str, Any]:
    from pgbackfill.errors import UsageError

    try:
        value = json.loads(text) if text is not None else {}
    except ValueError as error:
        raise UsageError(f"--params is not valid JSON ({error}); write an object such as '{{\"a\": 1}}'.") from None
    if not isinstance(value, dict):
        raise UsageError("--params must be a JSON object, such as '{\"a\": 1}'.")
    return value


def _list(text: Text) -> list[Any]:
    from pgbackfill.errors import UsageError

    try:
        value = json.loads(text) if text is not None else []
    except ValueError as error:
        raise UsageError(f"--finalize is not valid JSON ({error}); write a list such as '[\"analyze\"]'.") from None
    if not isinstance(value, list):
        raise UsageError("--finalize must be a JSON list, such as '[\"analyze\"]'.")
    return value


def _time(text: Text) -> datetime | None:
    from pgbackfill.errors import UsageError

    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--run-after must be a time such as 2026-01-31T22:00:00Z, not {text!r}.") from None
    return value if value.tzinfo else value.astimezone()
