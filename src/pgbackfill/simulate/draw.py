"""A simulated run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pgbackfill.errors import UsageError
from pgbackfill.simulate.outcome import judge, smooth
from pgbackfill.simulate.run import RECORD_EVERY_S, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MB = 1e6


def draw(result: Result, path: Path) -> None:
    """Write a PNG: rates, lag under its limits, chunk size and latency over time; time held is shaded.

    Raises `UsageError` where matplotlib is not installed or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("Drawing needs matplotlib: install pgbackfill[demo].") from error
    outcome, options = judge(result), result.scenario.job.pacing
    figure = Figure(figsize=(10, 8), layout="constrained")
    rates, lags, chunks = figure.subplots(3, 1, sharex=True)
    seconds = result.seconds
    _rates(rates, result)
    lags.plot(seconds, result.lag_s, color="tab:red", label="true lag")
    for limit, name in ((options.lag_soft_s, "soft"), (options.lag_hard_s, "hard")):
        lags.axhline(limit, color="tab:gray", linestyle=":", label=f"{name} limit")
    lags.set(ylabel="lag [s]", ylim=(0, max(1.2 * options.lag_soft_s, 1.1 * max(result.lag_s, default=0.0))))
    chunks.plot(seconds, [1e3 * value for value in result.chunk_s], color="tab:blue", label="chunk [ms]")
    if result.scenario.sampling.canary:
        chunks.plot(seconds, [1e3 * value for value in result.canary_s], color="tab:olive", label="canary [ms]")
    rows = chunks.twinx()
    rows.plot(seconds, result.rows, color="tab:gray", linewidth=0.8, label="rows")
    rows.set(ylabel="rows per chunk", ylim=(0, 1.1 * max(result.rows, default=1)))
    chunks.set(xlabel="time [s]", ylabel="time [ms]", ylim=(0, None))
    for axes in (rates, lags, chunks):
        _shade_holds(axes, result)
        axes.legend(loc="upper right", fontsize="small")
    used = "" if outcome.utilisation is None else f", {100 * outcome.utilisation:.0f} % of what was available"
    figure.suptitle(f"{outcome.name}: {outcome.rate_mean / MB:.1f} MB/s{used}, lag p95 {outcome.lag_p95_s:.2f} s")
    try:
        figure.savefig(path, format="png", dpi=110)
    except OSError as error:
        raise UsageError(f"The picture {path} cannot be written: {error.strerror}.") from error


def _rates(axes: Axes, result: Result) -> None:
    top = 1.3 * max(smooth(result.own), default=1.0)
    axes.plot(result.seconds, [min(value, top) / MB for value in result.available], "k--", label="available")
    pace = [float("nan") if value is None else min(value, top) / MB for value in result.pace]
    axes.plot(result.seconds, pace, color="tab:orange", linewidth=0.8, label="pace")
    if len(result.by_daemon) > 1:
        for index, series in enumerate(result.by_daemon):
            axes.plot(result.seconds, [value / MB for value in smooth(series)], label=f"daemon {index + 1}")
    else:
        axes.plot(result.seconds, [value / MB for value in smooth(result.own)], color="tab:green", label="job")
    axes.set(ylabel="WAL [MB/s]", ylim=(0, top / MB))


def _shade_holds(axes: Axes, result: Result) -> None:
    start: float | None = None
    for at, reason in [*zip(result.seconds, result.hold, strict=True), (result.scenario.seconds, None)]:
        if reason is not None and start is None:
            start = at - RECORD_EVERY_S
        elif reason is None and start is not None:
            axes.axvspan(start, at, color="tab:red", alpha=0.1, linewidth=0)
            start = None
