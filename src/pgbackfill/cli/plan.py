"""`pgbackfill plan NAME` for a job that exists, `pgbackfill plan NAME TABLE …` for one that is to be enqueued."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgbackfill.cli import enqueue
from pgbackfill.cli.common import say_json, settings_of
from pgbackfill.errors import UsageError

if TYPE_CHECKING:
    from pgbackfill.plan.subject import Subject
    from pgbackfill.settings import Settings

Table = Annotated[
    str | None,
    typer.Argument(
        metavar="[TABLE]", help="Of a job that is not enqueued yet: table that is walked.", show_default=False
    ),
]
Sample = Annotated[
    bool,
    typer.Option("--sample", help="Run a few chunks at different places of the table and roll them back."),
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Answer in Markdown, for a pull request.")]


def plan(context: typer.Context, **flags: Any) -> None:
    """Say what a job will do, cost and risk before it runs: by the flags of enqueue, or of a job by its NAME."""
    import anyio

    if flags["markdown"] and flags["as_json"]:
        raise UsageError("Say --json or --markdown, not both.")
    settings = settings_of(context, flags["config"], flags["dsn"])
    document = anyio.run(_plan, settings, flags)
    if flags["as_json"]:
        say_json(document)
        return
    from pgbackfill.plan import text
    from pgbackfill.plan.sections import sections

    draw = text.markdown if flags["markdown"] else text.text
    typer.echo(draw(sections(document)))


def _like_enqueue() -> inspect.Signature:
    """The words that plan a job are those that enqueue it, now and later."""
    own = {"table_name": (Table, None), "sample": (Sample, False), "markdown": (Markdown, False)}
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(enqueue.enqueue, eval_str=True).parameters.items()
        if name != "dry_run"
    }
    for name, (annotation, default) in own.items():
        parameters[name] = inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, default=default
        )
    return inspect.Signature(list(parameters.values()))


plan.__signature__ = _like_enqueue()  # type: ignore[attr-defined]


async def _plan(settings: Settings, flags: dict[str, Any]) -> dict[str, Any]:
    from pgbackfill.database import reports
    from pgbackfill.database.connect import connected
    from pgbackfill.database.migrate import check_schema
    from pgbackfill.plan import subject
    from pgbackfill.plan.report import plan as put_together

    work_dsn = settings.work_dsn or settings.dsn
    async with (
        connected(settings.dsn.get_secret_value(), settings=settings, purpose="plan", require_primary=True) as control,
        connected(work_dsn.get_secret_value(), settings=settings, purpose="plan-work", require_primary=True) as work,
    ):
        await check_schema(control)
        found: Subject
        if flags["table_name"] is None:
            _refuse_flags(flags)
            found = await subject.existing(control, flags["name"])
        else:
            found = await subject.imagined(control, enqueue.new_job(flags))
        options = found.job.pacing(settings.pacing)
        with reports.translated():
            return await put_together(control, work, found, options, sample=flags["sample"])


def _refuse_flags(flags: dict[str, Any]) -> None:
    """Clauses without a table would be those of another job than the one that is planned."""
    if flags["set_clause"] or flags["where_clause"] or flags["statement"] or flags["operation"]:
        raise UsageError(
            "Say the table as well to plan a job that is not enqueued: pgbackfill plan NAME TABLE --set …."
        )
