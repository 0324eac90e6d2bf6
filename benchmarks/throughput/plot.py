"""Speed ratios as a picture: every pair a dot, the median a bar, the aim a line."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.harness.pairs import PLAIN, Rounds
from benchmarks.harness.report import Goal
from benchmarks.harness.summary import Summary


def draw(path: str, results: Mapping[str, Rounds], goals: Mapping[str, Goal], daemon: str) -> None:
    """Writes a PNG or SVG, by the ending of `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = [
        (f"{case}\n{name}", case, name, rounds.speed_ratios(name))
        for case, rounds in results.items()
        for name in rounds.measured
        if name != PLAIN
    ]
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.55 * len(bars)), layout="constrained")
    for row, (_, case, name, ratios) in enumerate(bars):
        own = name == daemon
        axes.barh(row, Summary.of(ratios).median, color="tab:blue" if own else "tab:gray", alpha=0.6)
        axes.plot(ratios, [row] * len(ratios), "o", color="black", markersize=3)
        if own and case in goals:
            axes.plot([goals[case].limit] * 2, [row - 0.4, row + 0.4], color="tab:red")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(bars)), [label for label, *_ in bars])
    axes.invert_yaxis()
    axes.set_xlabel("rows a second over those of one plain UPDATE (red: aim)")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
