"""What HTTP needs from the daemon, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from pgbackfill.database.reports import Action
from pgbackfill.metrics import Metrics


class ControlPlane(Protocol):
    """Implemented by the daemon. Every method may raise DatabaseUnavailable, which answers 503 with its sentence."""

    metrics: Metrics

    async def jobs(self) -> Sequence[Mapping[str, Any]]:
        """The rows of `pgbackfill.progress`, by column name."""

    async def job(self, name: str) -> Mapping[str, Any] | None:
        """One job with its ranges, latest events and quarantine counts; None where there is no such job."""

    def history(self, name: str, since: float) -> Mapping[str, Any] | None:
        """Series of the last hour of a job, after `since` (seconds since 1970); None where there is no such job."""

    async def command(self, name: str, action: Action, *, duration: timedelta | None = None) -> Mapping[str, Any]:
        """Calls the SQL function of that name and returns the job's row of `pgbackfill.progress`.

        A pause may have a duration. Raises LookupError where there is no such job, UsageError where it cannot do that
        now.
        """

    async def throttle_job(self, name: str, ratio: float, duration: timedelta) -> Mapping[str, Any]:
        """Lets a job make a share of its pace for a while; returns and raises like `command`."""

    async def unthrottle_job(self, name: str) -> Mapping[str, Any]:
        """Ends the job's own throttle; returns and raises like `command`."""

    def signals(self) -> Sequence[Mapping[str, Any]]:
        """Every signal with value, limits, age and level."""

    def pause(self, holder: str, duration: timedelta | None = None) -> object:
        """Pauses this process for `holder`; twice is once, and the last `duration` counts."""

    def resume(self, holder: str) -> object:
        """Releases the pause of `holder`, and only its own."""

    def paused_by(self) -> Sequence[str]:
        """Who holds a pause of this process."""

    def throttle(self, ratio: float, duration: timedelta) -> object:
        """Lets every job of this process make a share of its pace for a while; replaces an earlier throttle."""

    def unthrottle(self) -> object:
        """Ends the throttle of this process."""

    def throttled(self) -> Mapping[str, Any]:
        """`throttle_ratio` (1: none) and `throttle_seconds_left` of this process."""

    async def readiness(self) -> str | None:
        """None when the database is reachable and its schema current, else one sentence that says what is wrong."""
