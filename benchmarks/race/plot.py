"""Pictures of a course: pace and lag over time, one panel a contender, and what each gained and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness.summary import percentile

from .courses import DAEMON, NOBODY, Course
from .figures import HARD_S, HARMS, SOFT_S, Standing, series
from .goals import Standings
from .policies import GRID
from .report import title
from .run import Run

OWN, OTHER, HARM = "tab:blue", "tab:gray", "tab:red"
SHOWN = 2.5
BIN_S = 0.5
LETTER_POINTS, LINE_POINTS = 7.0, 13.0
HARM_NAMES = {
    "lag": f"true lag, s (dotted {SOFT_S:g} s, dashed {HARD_S:g} s)",
    "latency": f"foreground latency, ms (p95 of each {BIN_S:g} s)",
}
AXIS_NAMES = {"lag": "true lag, p99 (s)", "latency": "foreground latency, p95 (ms)"}


def draw(folder: Path, course: Course, standings: Standings, runs: Sequence[Run]) -> None:
    """Writes `<course>-time.png` and `<course>-cost.png`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        ("time", _over_time(pyplot, course, [run for run in runs if run.contender != NOBODY])),
        ("cost", _cost(pyplot, course, standings)),
    ):
        figure.savefig(folder / f"{course.name}-{name}.png", dpi=120)
        pyplot.close(figure)


def _over_time(pyplot: Any, course: Course, runs: Sequence[Run]) -> Any:
    rows = max(1, len(runs))
    figure, grid = pyplot.subplots(
        rows, 2, figsize=(12, 1.2 + 1.15 * rows), sharex=True, squeeze=False, layout="constrained"
    )
    drawn = [(run, *series(run)) for run in runs]
    most_pace = max((max(rates) for _, _, rates, _ in drawn), default=1.0)
    if course.schedule is not None:  # what is far above the link is cut off, so that what follows it can be seen
        most_pace = min(most_pace, SHOWN * max(step.rate for step in course.schedule.steps) / 1e6)
    harm = _lag if course.harm == "lag" else _latency
    for (pace_axes, harm_axes), (run, times, rates, lags) in zip(grid, drawn, strict=False):
        colour = OWN if run.contender == DAEMON else OTHER
        pace_axes.fill_between(times, rates, color=colour, alpha=0.6, linewidth=0)
        _link(pace_axes, course, times)
        pace_axes.set_ylim(0, 1.05 * most_pace)
        pace_axes.set_title(title(run.contender), fontsize=9, loc="left", pad=2)
        harm(harm_axes, run, times, lags)
        for axes in (pace_axes, harm_axes):
            axes.axvline(run.seconds, color=colour, linewidth=1)
            axes.tick_params(labelsize=8)
            axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("seconds since the start", fontsize=9)
    written = "WAL written, MB/s (line: the link)" if course.schedule else "WAL written, MB/s"
    figure.suptitle(
        f"{course.title}\n{written}; {HARM_NAMES[course.harm]}; last round, the vertical line is the end of the work",
        fontsize=10,
    )
    return figure


def _lag(axes: Any, run: Run, times: Sequence[float], lags: Sequence[float]) -> None:
    axes.plot(times, lags, color=HARM, linewidth=1.2)
    axes.axhline(SOFT_S, color="black", linewidth=0.6, linestyle=":")
    axes.axhline(HARD_S, color="black", linewidth=0.6, linestyle="--")
    axes.set_ylim(0, max(1.2 * SOFT_S, 1.08 * max(lags)))
    axes.set_title(f"largest {max(lags):.1f} s", fontsize=8, loc="right", pad=2)


def _latency(axes: Any, run: Run, times: Sequence[float], lags: Sequence[float]) -> None:
    bins: dict[int, list[float]] = {}
    for one in run.transactions:
        bins.setdefault(int((one.at - run.began) / BIN_S), []).append(one.ms)
    middles = [(index + 0.5) * BIN_S for index in sorted(bins)]
    worst = [percentile(bins[index], 0.95) for index in sorted(bins)]
    axes.plot(middles, worst, color=HARM, linewidth=1.2)
    axes.set_ylim(0, 1.08 * max(worst))
    overall = percentile([one.ms for one in run.transactions], 0.95)
    axes.set_title(f"of the whole run {overall:.1f} ms", fontsize=8, loc="right", pad=2)


def _link(axes: Any, course: Course, times: Sequence[float]) -> None:
    if course.schedule is None or not times:
        return
    steps = [step for step in course.schedule.steps if step.at_s <= times[-1]]
    at = [step.at_s for step in steps] + [max(times[-1], steps[-1].at_s)]
    rates = [step.rate / 1e6 for step in steps]
    axes.step(at, [*rates, rates[-1]], where="post", color="black", linewidth=1)


def _cost(pyplot: Any, course: Course, standings: Standings) -> Any:
    """Every round a dot, the median a larger one; better is up and to the left."""
    harm = HARMS[course.harm]
    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    working = [standing for name, standing in standings.items() if name != NOBODY]
    for standing in working:
        own = standing.contender == DAEMON
        colour = OWN if own else OTHER
        axes.plot(standing.values(harm), standing.values("rows_per_s"), ".", color=colour, alpha=0.5, markersize=5)
        axes.plot(*_place(standing, harm), "o", color=colour, markersize=9 if own else 7)
    grid = sorted((one for one in working if one.contender in GRID), key=lambda one: one.median(harm))
    if grid:
        _front(axes, grid, harm)
    if course.harm == "latency" and NOBODY in standings:
        axes.axvline(standings[NOBODY].median(harm), color="black", linewidth=0.8, linestyle=":", label="alone")
    if course.harm == "lag":
        axes.axvline(SOFT_S, color="black", linewidth=0.6, linestyle=":", label=f"lag_soft_s {SOFT_S:g} s")
    axes.set_xscale("log")
    for which in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        which(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "125" else "")
    axes.margins(x=0.2)
    axes.set_ylim(0, 1.12 * max((max(one.values("rows_per_s")) for one in working), default=1.0))
    axes.set_xlabel(AXIS_NAMES[course.harm])
    axes.set_ylabel("rows a second")
    axes.set_title(f"{course.title}\nbetter is up and to the left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="lower right")
    figure.draw_without_rendering()
    _label(axes, working, harm)
    return figure


def _place(standing: Standing, harm: str) -> tuple[float, float]:
    return standing.median(harm), standing.median("rows_per_s")


def _label(axes: Any, working: Sequence[Standing], harm: str) -> None:
    """Names beside the points, each moved up or down until it covers no other."""
    taken: list[tuple[float, float, float]] = []  # left end, right end, height, in points of the screen
    for standing in sorted(working, key=lambda one: one.median("rows_per_s"), reverse=True):
        x, y = axes.transData.transform(_place(standing, harm))
        width = LETTER_POINTS * len(title(standing.contender))
        for offset in (4, -10, 16, -22, 28, -34, 40):
            covered = any(
                x < right and left < x + width and abs(y + offset - height) < LINE_POINTS
                for left, right, height in taken
            )
            if not covered:
                break
        taken.append((x, x + width, y + offset))
        axes.annotate(
            title(standing.contender),
            _place(standing, harm),
            textcoords="offset pixels",
            xytext=(10, offset),
            fontsize=8,
        )


def _front(axes: Any, grid: Sequence[Standing], harm: str) -> None:
    """The best that a fixed setting does at each latency."""
    front: list[tuple[float, float]] = []
    for one in grid:
        if not front or one.median("rows_per_s") > front[-1][1]:
            front.append((one.median(harm), one.median("rows_per_s")))
    axes.step(*zip(*front, strict=True), where="post", color=OTHER, linewidth=1, label="front of the fixed settings")
