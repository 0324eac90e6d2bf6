"""`pgbackfill verify NAME`: the pass of a job's verification, whenever somebody wants it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgbackfill.cli.common import Config, Database, Json, say_json, settings_of
from pgbackfill.cli.control import Name
from pgbackfill.errors import UsageError

if TYPE_CHECKING:
    from pgbackfill.verify.now import Found


def verify(
    context: typer.Context,
    name: Name,
    sample: Annotated[
        str | None, typer.Option(help="Look at this share of the table's blocks only, as in 5%.", show_default=False)
    ] = None,
    config: Config = None,
    dsn: Database = None,
    as_json: Json = False,
) -> None:
    """Look at the rows of a job again and count those that it missed. Changes nothing; 1 is the exit code for any."""
    import anyio

    from pgbackfill.verify import now

    percent = _percent(sample)
    settings = settings_of(context, config, dsn)
    found = anyio.run(now.verify, settings, name, percent)
    if as_json:
        say_json(_facts(name, found, percent))
    else:
        typer.echo(_sentence(name, found, percent))
    raise typer.Exit(1 if found.mismatches else 0)


def _percent(sample: str | None) -> float | None:
    if sample is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%?\s*", sample)
    if found is None or not 0 < float(found[1]) <= 100:
        raise UsageError(f"--sample must be above 0 and at most 100 percent, as in 5%, not {sample!r}.")
    return float(found[1])


def _facts(name: str, found: Found, percent: float | None) -> dict[str, Any]:
    return {
        "name": name, "rows": found.rows, "mismatches": found.mismatches, "later": found.later,
        "quarantined": found.quarantined, "on": found.place, "sample_percent": percent, "not_verifiable": found.why_not,
    }  # fmt: skip


def _sentence(name: str, found: Found, percent: float | None) -> str:
    if found.why_not is not None:
        return f"{name} cannot be verified: {found.why_not}."
    looked = f"{found.rows:,} rows{f', a sample of {percent:g} %,' if percent else ''} on {found.place}"
    said = f"{name}: {found.mismatches:,} mismatches in {looked}"
    if found.later:
        said += f"; {found.later:,} more were born or written since the job began"
    if found.quarantined:
        said += f"; {found.quarantined:,} are in quarantine"
    return f"{said}."
