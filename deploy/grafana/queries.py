"""The PromQL of the dashboards. Plain text, so that tests can run every one of them."""

from __future__ import annotations

from typing import Final

STATUSES: Final = ("queued", "running", "paused", "verifying", "succeeded", "failed", "cancelled")

# `honor_labels` is off: `job` is the scrape job, `exported_job` the backfill.
DAEMONS: Final = 'job=~"$scrape_job", instance=~"$instance"'
BACKFILL: Final = f'{DAEMONS}, exported_job=~"$backfill"'
ON_START: Final = "offset 1m"
"""What was not there a minute ago is new."""


def status_code() -> str:
    """A number for each job's status, counted from 1 in the order of STATUSES."""
    terms = (f'pgbackfill_job_status{{{BACKFILL}, status="{each}"}} * {i}' for i, each in enumerate(STATUSES, 1))
    return "max by (exported_job) (" + " or ".join(terms) + ")"


def status_begins() -> str:
    """A series for each status that a job has now and had not a minute ago."""
    has = f"max by (exported_job, status) (pgbackfill_job_status{{{BACKFILL}}}"
    return f"{has}) == 1 unless {has} {ON_START}) == 1"


def hold_begins() -> str:
    """A series for each reason for which something is held now, and was not a minute ago."""
    held = f"max by (reason) (pgbackfill_hold{{{DAEMONS}}}"
    return f"{held}) == 1 unless {held} {ON_START}) == 1"


def rate(counter: str, by: str = "", selector: str = DAEMONS) -> str:
    """A counter's increase per second, added up."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate(pgbackfill_{counter}{{{selector}}}[$__rate_interval]))"


def increase(counter: str, by: str = "") -> str:
    """What was added to a counter within an interval."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (increase(pgbackfill_{counter}{{{DAEMONS}}}[$__rate_interval]))"


def gauge(name: str, by: str = "", selector: str = DAEMONS) -> str:
    """The largest value of a gauge: every daemon of a database sees the same replicas and jobs."""
    grouping = f" by ({by})" if by else ""
    return f"max{grouping} (pgbackfill_{name}{{{selector}}})"


def limit(signal: str) -> str:
    """Soft and hard limit of a signal, or of several; those that do not exist are +Inf and left out."""
    return gauge("signal_limit", "signal, level", f'{DAEMONS}, signal=~"{signal}"') + " < +Inf"


def quantile(share: float) -> str:
    """Of the duration of chunks."""
    return f"histogram_quantile({share}, {rate('chunk_duration_seconds_bucket', 'le')})"


def process(name: str, *, per_second: bool = False) -> str:
    """A metric that every Prometheus client has, of the daemons alone."""
    value = f"process_{name}{{{DAEMONS}}}"
    value = f"rate({value}[$__rate_interval])" if per_second else value
    return f"{value} and on (job, instance) pgbackfill_build_info"
