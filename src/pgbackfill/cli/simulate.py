"""`pgbackfill simulate`: try limits on paper before they touch production."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def simulate(
    scenario: Annotated[Path, typer.Argument(help="TOML file that describes servers, load, job and events.")],
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw the course into this file.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the pace against simulated servers, print the outcome, draw its course."""
    from pgbackfill.simulate import judge, load_scenario
    from pgbackfill.simulate import simulate as run

    result = run(load_scenario(scenario))
    outcome = judge(result).as_dict()
    if as_json:
        typer.echo(json.dumps(outcome))
    else:
        width = max(map(len, outcome))
        for name, value in outcome.items():
            text = "-" if value is None else f"{value:,.2f}" if isinstance(value, float) else str(value)
            typer.echo(f"{name:<{width}}  {text}")
    if png is not None:
        from pgbackfill.simulate.draw import draw

        draw(result, png)
        typer.echo(f"Picture: {png}", err=True)
