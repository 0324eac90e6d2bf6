"""What it came to, as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pgbackfill.demo.recording import Recording, Span
from pgbackfill.demo.shop import Verdict
from pgbackfill.screen import Unit, words


def summary(recording: Recording, *, baseline: Span, job: Span, verdict: Verdict) -> list[tuple[str, str]]:
    """Label and value of each line."""
    held = recording.holds()
    right = verdict.rows - verdict.wrong
    return [
        ("orders filled", f"{right:,} of {verdict.rows:,}, each compared with a value computed another way"),
        ("time", words.quantity(job.seconds, Unit.SECONDS)),
        ("rows/s", words.quantity(verdict.rows / max(job.seconds, 0.001), Unit.ROWS_PER_S)),
        ("replica lag, largest", words.quantity(recording.max_lag_s(job), Unit.SECONDS)),
        ("foreground p99 before", words.quantity(recording.p99_ms(baseline), Unit.MILLISECONDS)),
        ("foreground p99 during", words.quantity(recording.p99_ms(job), Unit.MILLISECONDS)),
        ("held", words.quantity(sum(span.seconds for span in held), Unit.SECONDS)),
    ]


def show(console: Console, lines: list[tuple[str, str]], *, plain: bool) -> None:
    """Print it: a table on a terminal, `label: value` elsewhere."""
    if plain:
        for label, value in lines:
            console.print(f"{label}: {value}", markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(show_header=False, box=None, padding=(0, 2))
    for label, value in lines:
        table.add_row(label, value, style="bold" if label == "orders filled" else None)
    console.print(table)
