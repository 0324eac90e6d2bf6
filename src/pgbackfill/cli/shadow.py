"""`pgbackfill shadow`."""

from __future__ import annotations

import typer

app = typer.Typer(help="Replace a table by a new one under traffic.", no_args_is_help=True)
