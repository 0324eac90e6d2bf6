"""The recording as a picture: what the daemon did above, what it cost below, on one axis of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pgbackfill.demo.recording import Point, Recording, Span
from pgbackfill.demo.shop import OPTIONS

INK, GRID = "#22303c", "#d9dfe4"
PACE, SIZE, LAG, LATENCY = "#1f6fb4", "#7a5ab5", "#c2571a", "#2e8b57"
SOFT, HARD, HOLD, SLOW = "#d9a400", "#c0392b", "#c0392b", "#8a99a6"


def draw(recording: Recording, *, baseline: Span, job: Span, path: Path) -> None:
    """Write a PNG. The job begins at 0 s; what was measured before it has negative times."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    zero_s = job.start_s
    figure, panels = plt.subplots(4, 1, figsize=(11, 9.5), sharex=True, layout="constrained")
    first_s, last_s = baseline.start_s, job.end_s + 1
    points = [point for point in recording.points if first_s <= point.at_s <= last_s]
    times = [point.at_s - zero_s for point in points]

    def line(panel: Any, read: Callable[[Point], float | None], color: str, **style: Any) -> None:
        values = [read(point) for point in points]
        panel.plot(times, [float("nan") if value is None else value for value in values], color=color, lw=1.8, **style)

    line(panels[0], lambda p: p.rows_per_s, PACE)
    line(panels[1], lambda p: p.chunk_rows, SIZE, drawstyle="steps-post")
    lags = [(at - zero_s, lag) for at, lag in recording.lags_s if first_s <= at <= last_s]
    panels[2].plot([at for at, _ in lags], [lag for _, lag in lags], color=LAG, lw=1.8)
    line(panels[3], lambda p: p.p99_ms, LATENCY)
    for panel, title in zip(
        panels,
        (
            "Rows per second",
            "Rows in a chunk",
            "Replica lag, s",
            "Foreground latency, ms: p99 of the last 2 s",
        ),
        strict=True,
    ):
        panel.set_title(title, loc="left", fontsize=10.5, color=INK)
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")

    _limit(panels[2], OPTIONS["lag_hard_s"], "hard limit: hold, {:g} s", HARD)
    _limit(panels[2], OPTIONS["lag_soft_s"], "soft limit: slow down, {:g} s", SOFT)
    panels[2].set_ylim(0, max([OPTIONS["lag_hard_s"] * 1.35, *(lag * 1.1 for _, lag in lags)]))
    before_ms = recording.p99_ms(baseline)
    if before_ms is not None:
        _limit(panels[3], before_ms, "before the job: {:.1f} ms", INK)

    _shade(panels, recording.slow_link, zero_s, color=SLOW, alpha=0.16, label="link to the standby slow")
    _shade(panels, recording.holds(), zero_s, color=HOLD, alpha=0.16, label="held by the daemon")
    for panel in panels:
        panel.axvline(0, color=INK, lw=0.8)
        panel.grid(color=GRID, lw=0.7)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(colors=INK, labelsize=9)
        panel.margins(x=0.01)
    panels[0].legend(loc="upper left", fontsize=8.5, frameon=False)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[-1].set_xlabel("seconds since the job began", color=INK)
    rows = max((point.rows_scanned for point in points), default=0)
    figure.suptitle(f"pgbackfill: {rows:,} orders in {job.seconds:.0f} s", fontsize=14, color=INK, x=0.01, ha="left")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _limit(panel: Any, value: float, label: str, color: str) -> None:
    panel.axhline(value, color=color, lw=1.2, ls="--")
    panel.annotate(
        label.format(value),
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        color=color,
    )


def _shade(
    panels: Sequence[Any], spans: Sequence[Span], zero_s: float, *, color: str, alpha: float, label: str
) -> None:
    for number, span in enumerate(spans):
        for panel in panels:
            named = label if number == 0 and panel is panels[0] else None
            panel.axvspan(span.start_s - zero_s, span.end_s - zero_s, color=color, alpha=alpha, lw=0, label=named)
