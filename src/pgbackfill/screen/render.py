"""A snapshot as something that Rich can print."""

from __future__ import annotations

from itertools import groupby

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pgbackfill.durations import duration
from pgbackfill.screen import words
from pgbackfill.screen.snapshot import Gauge, JobView, Snapshot
from pgbackfill.screen.sparkline import bar, levels

WIDEST = 100
FRAME_WIDTH = 6  # border and padding, left and right
LABEL_WIDTH, VALUE_WIDTH, LIMIT_WIDTH, GUTTER_WIDTH = 14, 10, 15, 2
PROGRESS_TEXT_WIDTH = 36
NOTES_SHOWN = 4
CALM, SLOWED, HELD = "green", "yellow", "bold red"
STATUS_STYLE = {"succeeded": "bold green", "failed": "bold red", "cancelled": "yellow", "paused": "yellow"}


def render(snapshot: Snapshot, columns: int) -> RenderableType:
    """The whole frame for a terminal of `columns`; of the same height for the same gauges, so that nothing jumps."""
    job = snapshot.job
    width = min(columns, WIDEST)
    inner = width - FRAME_WIDTH
    title = Text.assemble(("pgbackfill", "bold"), " · ", job.name, " · ", (job.status, _status_style(job)))
    parts = [_progress(job, inner), Text(), _gauges(snapshot, inner), Text(), _hold(job), Text(), *_notes(snapshot)]
    body = Group(*parts, *([Text(), *_footer(snapshot)] if snapshot.footer else []))
    subtitle = Text(duration(snapshot.elapsed_s), style="dim")
    border = "red" if job.hold_reason else "cyan"
    padding = (0, 2) if snapshot.footer else (1, 2)  # with keys to explain it still fits 24 lines
    return Panel(body, title=title, subtitle=subtitle, border_style=border, padding=padding, width=width)


def _status_style(job: JobView) -> str:
    return HELD if job.hold_reason else STATUS_STYLE.get(job.status, "bold cyan")


def _progress(job: JobView, width: int) -> RenderableType:
    percent = job.percent or 0.0
    line = Table.grid(padding=(0, GUTTER_WIDTH, 0, 0))
    estimated = "" if job.rows_estimated is None else f" of {job.rows_estimated:,}"
    rows = Text(f"{percent:5.1f} %  {job.rows_scanned:,}{estimated}", no_wrap=True)
    bar_width = max(10, width - PROGRESS_TEXT_WIDTH - GUTTER_WIDTH)
    line.add_row(ProgressBar(100, percent, width=bar_width, complete_style="cyan"), rows)
    line.add_row("", Text(words.remaining(job) or "", style="dim"))
    return line


def _gauges(snapshot: Snapshot, width: int) -> Table:
    spark_width = max(8, width - LABEL_WIDTH - VALUE_WIDTH - LIMIT_WIDTH - 3 * GUTTER_WIDTH)
    table = Table.grid(padding=(0, GUTTER_WIDTH, 0, 0))
    table.add_column(width=LABEL_WIDTH, no_wrap=True)
    table.add_column(width=VALUE_WIDTH, no_wrap=True, justify="right")
    table.add_column(width=spark_width, no_wrap=True)
    table.add_column(no_wrap=True)
    for gauge in snapshot.gauges:
        value = Text(words.reading(gauge), style=_style(gauge, gauge.value))
        table.add_row(gauge.label, value, _sparkline(gauge, spark_width), Text(_limits(gauge), style="dim"))
    return table


def _sparkline(gauge: Gauge, width: int) -> Text:
    # With limits, the scale reaches at least to the hard one: a calm signal must not look alarming.
    shares = levels(gauge.history, width, top=gauge.hard or gauge.soft)
    styled = [(_style(gauge, value), bar(share)) for value, share in zip(gauge.history[-width:], shares, strict=True)]
    text = Text()
    for style, run in groupby(styled, key=lambda pair: pair[0]):
        text.append("".join(character for _, character in run), style=style)
    return text


def _style(gauge: Gauge, value: float | None) -> str:
    if value is None:
        return SLOWED if gauge.signal else CALM
    if gauge.hard is not None and value > gauge.hard:
        return HELD
    if gauge.soft is not None and value > gauge.soft:
        return SLOWED
    return CALM if gauge.soft is not None or gauge.hard is not None else "cyan"


def _limits(gauge: Gauge) -> str:
    if gauge.hard is None:
        return ""
    return f"hold > {gauge.hard:.0f} {gauge.unit}" if gauge.hard >= 100 else f"hold > {gauge.hard:.3g} {gauge.unit}"


def _hold(job: JobView) -> Text:
    if (held := words.hold(job)) is not None:
        return Text(held, style=HELD)
    return Text("nothing holds it" if job.status == "running" else "", style="dim")


def _notes(snapshot: Snapshot) -> list[Text]:
    lines = list(snapshot.notes[-NOTES_SHOWN:])
    lines += [""] * (NOTES_SHOWN - len(lines))
    return [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines]


def _footer(snapshot: Snapshot) -> list[Text]:
    return [Text(line, no_wrap=True, overflow="ellipsis") for line in snapshot.footer]
