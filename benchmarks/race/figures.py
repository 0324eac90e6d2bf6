"""What one run comes to, in numbers, and the numbers of all rounds together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.harness.summary import Summary, percentile
from pgbackfill.control.options import PacingOptions

from .lag import true_lags, written_by
from .reaction import reaction_s, slowdown
from .run import Run
from .stopped import Stopped, stopped

SOFT_S, HARD_S = PacingOptions().lag_soft_s, PacingOptions().lag_hard_s


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds, milliseconds (`_ms`), shares of 1. `over_bound` is the time over what the link alone would need.

    Lag counts from the start until the standby has all that the contender wrote; latency while the contender worked.
    """

    seconds: float
    done: float
    rows_per_s: float
    over_bound: float | None
    lag_p50: float
    lag_p95: float
    lag_p99: float
    lag_max: float
    above_soft: float
    above_hard: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    retries: int
    stopped: Stopped | None = None
    reaction_s: float | None = None

    def document(self) -> dict[str, object]:
        return asdict(self)


def figures(run: Run) -> Figures:
    lags = _while_it_lasted(run)
    latencies = [one.ms for one in run.transactions]
    return Figures(
        seconds=run.seconds,
        done=run.outcome.rows / run.course.rows,
        rows_per_s=run.outcome.rows / run.seconds,
        over_bound=_over_bound(run),
        lag_p50=percentile(lags, 0.50),
        lag_p95=percentile(lags, 0.95),
        lag_p99=percentile(lags, 0.99),
        lag_max=max(lags),
        above_soft=sum(lag > SOFT_S for lag in lags) / len(lags),
        above_hard=sum(lag > HARD_S for lag in lags) / len(lags),
        p50_ms=percentile(latencies, 0.50),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=percentile(latencies, 0.99),
        retries=run.outcome.retries,
        stopped=_stopped(run),
        reaction_s=_reaction(run),
    )


def _reaction(run: Run) -> float | None:
    at_s = slowdown(run.course.schedule)
    return None if at_s is None else reaction_s(run.outcome.looks, at_s)


def _while_it_lasted(run: Run) -> list[float]:
    lags = zip(run.samples, true_lags(run.samples), strict=True)
    return [lag for sample, lag in lags if run.began <= sample.at <= max(run.replayed, run.ended)]


def _over_bound(run: Run) -> float | None:
    """The bytes are all that was written meanwhile: the contender's and the foreground's, which share the link."""
    if run.course.schedule is None or run.outcome.rows == 0:
        return None
    count = written_by(run.samples, run.ended) - written_by(run.samples, run.began)
    return run.seconds / run.course.schedule.seconds_for(count)


def _stopped(run: Run) -> Stopped | None:
    stop = run.course.schedule.stop if run.course.schedule else None
    if stop is None or run.seconds < stop[1]:  # nobody, or done before
        return None
    samples = [sample for sample in run.samples if sample.at <= run.ended]
    return stopped(samples, run.began, run.began + stop[0], run.began + stop[1], soft_s=SOFT_S, hard_s=HARD_S)


def series(run: Run) -> tuple[list[float], list[float], list[float]]:
    """For the plot: seconds since the start, MB/s over 0.2 s around, lag."""
    rates = [(written_by(run.samples, s.at + 0.1) - written_by(run.samples, s.at - 0.1)) / 0.2e6 for s in run.samples]
    kept = [
        (sample.at - run.began, rate, lag)
        for sample, rate, lag in zip(run.samples, rates, true_lags(run.samples), strict=True)
        if run.began - 0.5 <= sample.at <= max(run.replayed, run.ended)
    ]
    return [at for at, _, _ in kept], [rate for _, rate, _ in kept], [lag for _, _, lag in kept]


@dataclass(frozen=True, slots=True)
class Standing:
    """One contender on one course, over all rounds."""

    contender: str
    rounds: Sequence[Figures]

    def of(self, name: str) -> Summary:
        return Summary.of(self.values(name))

    def values(self, name: str) -> list[float]:
        """Of the rounds in which there is such a figure."""
        return [float(value) for one in self.rounds if (value := getattr(one, name)) is not None]

    def median(self, name: str) -> float:
        return self.of(name).median

    def stopped(self, name: str) -> list[float]:
        found = [getattr(one.stopped, name) for one in self.rounds if one.stopped is not None]
        return [value for value in found if value is not None]


def beyond(better: Sequence[float], worse: Sequence[float]) -> bool:
    """Whether every one of the first is above every one of the second: more than either's spread."""
    return min(better) > max(worse)


HARMS = {"lag": "lag_p99", "latency": "p95_ms"}
"""What is compared as gentleness, by a course's `harm`."""


def faster(one: Standing, other: Standing) -> bool:
    """By rows a second, beyond the spread of the rounds."""
    return beyond(one.values("rows_per_s"), other.values("rows_per_s"))


def gentler(one: Standing, other: Standing, harm: str) -> bool:
    return beyond(other.values(HARMS[harm]), one.values(HARMS[harm]))
