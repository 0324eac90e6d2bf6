"""How fast a job may go as all signals together have it that are not queues: the slowest of their variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pgbackfill.control.fleet import UNKNOWN_SPEED, Fleet
from pgbackfill.control.latency import Latency, speed_share
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.signals import Level, Limits, Signal
from pgbackfill.control.steering import Steering
from pgbackfill.control.usage import Usage

KEPT_S = 0.01
"""Until a signal is read or a chunk ends, speeds are worked out no more often: in so long the fastest decrease is
1.5 %, and a chunk asks three times, which was a third of the processor time that it took beside its statements."""


@dataclass(frozen=True, slots=True)
class Speed:
    """`speed` is the largest share of its time that a lane may spend in chunks; `effort` is what latency leaves: 1 is
    full chunks at full speed, 0.5 the smallest chunks, 0 a standstill."""

    speed: float
    effort: float


class Speeds:
    """Looks at the signals that the governor keeps. `now` is monotonic seconds."""

    def __init__(
        self, usage: Usage, fleet: Fleet, signals: Mapping[str, Signal], latencies: Mapping[str, Latency]
    ) -> None:
        self.alone = False
        """Whether nobody but pgbackfill runs queries."""
        self._usage = usage
        self._fleet = fleet
        self._signals = signals
        self._latencies = latencies
        self._steering = Steering(usage)
        self._kept: tuple[PacingOptions, float, Speed] | None = None

    def renew(self) -> None:
        """Something was read, or a chunk has ended."""
        self._kept = None

    def now(self, options: PacingOptions, *, now: float) -> Speed:
        """For a job with these options."""
        if self._kept is not None:
            of, at, kept = self._kept
            if of is options and 0 <= now - at < KEPT_S:
                return kept
        effort = self._effort(options, now)
        speed = Speed(min(self._share(options, now), speed_share(effort)), effort)
        self._kept = options, now, speed
        return speed

    def achieved(self, *, now: float) -> float:
        """Share of the time that the lanes of this daemon spent in chunks of late."""
        return self._steering.achieved(self._fleet.lanes_own, now)

    def _share(self, options: PacingOptions, now: float) -> float:
        speeds = [1.0]
        for signal in self._signals.values():
            if (limits := signal.limits) is not None:
                speed = self._steer(signal.name, signal.level(now), signal.reading.value, limits, limits, now)
                speeds.append(max(speed, limits.slowest))
        lag = Limits(options.lag_soft_s, options.lag_hard_s)
        for replica in self._fleet:
            level = self._fleet.level(replica, lag, now)
            if level is Level.UNKNOWN:
                speeds.append(UNKNOWN_SPEED)
            elif replica.backlog_bytes is None or not self._usage.wal_seen:
                speeds.append(self._steer(f"replica_lag/{replica.name}", level, replica.lag_s, lag, lag, now))
        return min(speeds)

    def _effort(self, options: PacingOptions, now: float) -> float:
        efforts = [1.0]
        # Alone, another variable: what the others needed says nothing once they are gone, and is remembered until then.
        soft_ratio = options.latency_hard_ratio if self.alone else options.latency_soft_ratio
        key = Limits(soft_ratio, options.latency_hard_ratio)
        for latency in self._latencies.values():
            limits = latency.limits(options, alone=self.alone)
            level = latency.level(limits, now)
            if level is Level.UNKNOWN or limits is None:
                efforts.append(UNKNOWN_SPEED / 2)
            else:
                efforts.append(self._steer(latency.name, level, latency.value_s, limits, key, now, effort=True))
        return min(efforts)

    def _steer(
        self,
        name: str,
        level: Level,
        value: float | None,
        limits: Limits,
        key: Limits,
        now: float,
        effort: bool = False,
    ) -> float:
        lanes = self._fleet.lanes_own
        return self._steering.speed(name, level, value, limits, key, lanes=lanes, effort=effort, now=now)
