"""The governor: every signal of one daemon in one place; says whether the work is held, why, and how fast it may go."""

from __future__ import annotations

from collections.abc import Iterable

from pgbackfill.control.holds import Hold, Latch, exceeded, unknown
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.replica import Replica, ReplicaStatus
from pgbackfill.control.signals import Level, Limits, Reading, Signal, SignalStatus
from pgbackfill.control.wal_history import WalHistory

LATCHES_MAX = 256
"""Latches are kept per signal and pair of limits; live retuning makes new ones, so the oldest are dropped."""

UNKNOWN_SPEED = 0.25
"""While a signal is unknown the work runs at a quarter: slow at once, without stopping for one lost poll."""

SLOWEST_SPEED = 0.1
"""Reached at the hard limit; below it the work is held."""


class Governor:
    """Shared by all jobs and lanes of a daemon. `now` is monotonic seconds."""

    def __init__(self, options: PacingOptions) -> None:
        self._options = options
        self._signals: dict[str, Signal] = {}
        self._replicas: dict[str, Replica] = {}
        self._expected: frozenset[str] = frozenset()
        self._latches: dict[tuple[str, float, float], Latch] = {}
        self._history = WalHistory()

    def update(self, options: PacingOptions) -> None:
        """Replace the daemon's own options; a job's are given with each question."""
        self._options = options

    def observe(self, reading: Reading, limits: Limits | None, *, now: float) -> None:
        """Take in one poll of a signal. A reading without a value makes the signal unknown."""
        signal = self._signals.get(reading.name)
        if signal is None:
            signal = self._signals[reading.name] = Signal(reading.name, now=now)
        signal.observe(reading, limits)

    def forget(self, name: str) -> None:
        """Drop a signal or a replica that somebody took away on purpose."""
        self._signals.pop(name, None)
        self._replicas.pop(name, None)
        self._expected -= {name}

    def observe_wal(self, lsn: int, timeline: int | None, *, now: float) -> None:
        """Note where the primary's WAL stands; call it before `observe_replica` with the same `now`."""
        self._history.observe(lsn, timeline, now=now)

    def observe_replica(
        self,
        name: str,
        *,
        replay_lsn: int | None,
        state: str | None,
        now: float,
        lag_s: float | None = None,
        interval: float = 1.0,
    ) -> None:
        """Take in one poll of a replica; what may not be read is None. Once seen, a replica is missed when it vanishes.

        `lag_s` is a lag measured by other means; `interval` how often this is promised to be called, in seconds.
        """
        replica = self._replicas.get(name)
        if replica is None:
            replica = self._replicas[name] = Replica(name, now=now)
        replica.observe(self._history, replay_lsn=replay_lsn, state=state, now=now, lag_s=lag_s, interval=interval)

    def expect(self, names: Iterable[str], *, now: float) -> None:
        """Name the replicas that must be there: one that is not is unknown, then a hold.

        Call it when the list of names is known, not with what each poll found. Those not named are dropped until
        they are seen again.
        """
        self._expected = frozenset(names)
        for name in sorted(self._expected - self._replicas.keys()):
            self._replicas[name] = Replica(name, now=now)
        for name in self._replicas.keys() - self._expected:
            del self._replicas[name]

    def hold(self, options: PacingOptions, *, now: float) -> Hold | None:
        """Why a job with these options must not run now: the oldest of the holds; None if it may."""
        holds = [*self._signal_holds(now), *self._replica_holds(options, now)]
        return min(holds, key=lambda hold: (hold.since, hold.reason), default=None)

    def speed(self, options: PacingOptions, *, now: float) -> float:
        """How fast a job may go, as a share of full speed: 1 when healthy, down to `SLOWEST_SPEED`."""
        lag = Limits(options.lag_soft_s, options.lag_hard_s)
        speeds = [1.0]
        for replica in self._replicas.values():
            level = self._replica_level(replica, lag, now)
            speeds.append(_speed(level, replica.lag_s, lag))
        speeds.extend(
            _speed(signal.level(now), signal.reading.value, signal.limits)
            for signal in self._signals.values()
            if signal.limits is not None
        )
        return min(speeds)

    def signals(self, now: float) -> list[SignalStatus]:
        """Every signal for display, replicas among them, under the daemon's own limits."""
        lag = Limits(self._options.lag_soft_s, self._options.lag_hard_s)
        rows = [
            SignalStatus(
                "replica_lag",
                replica.lag_s,
                "s",
                lag.soft,
                lag.hard,
                replica.fresh.age(now),
                self._replica_level(replica, lag, now),
                replica.name,
            )
            for replica in self._replicas.values()
        ]
        for name, signal in self._signals.items():
            limits = signal.limits
            rows.append(
                SignalStatus(
                    name,
                    signal.reading.value,
                    signal.reading.unit,
                    limits.soft if limits else None,
                    limits.hard if limits else None,
                    signal.fresh.age(now),
                    signal.level(now),
                    signal.reading.detail,
                )
            )
        return sorted(rows, key=lambda row: (row.name, row.detail))

    def replicas(self, now: float) -> list[ReplicaStatus]:
        """Every replica for display; what is stale is None."""
        return [
            ReplicaStatus(replica.name, replica.state, replica.lag_s, replica.backlog_bytes, replica.drain_rate)
            if replica.fresh.unknown_for(now) is None
            else ReplicaStatus(replica.name, replica.state, None, None, None)
            for _, replica in sorted(self._replicas.items())
        ]

    def _signal_holds(self, now: float) -> list[Hold]:
        holds = []
        for name, signal in self._signals.items():
            limits = signal.limits
            if limits is None:
                continue
            level = Level.HARD if signal.fresh.must_hold(now) else signal.level(now)
            latch = self._latch(name, limits)
            if latch.update(level, now=now) and latch.since is not None:
                if level in (Level.SOFT, Level.HARD):
                    reading = signal.reading
                    latch.reason = _reason(name, signal, reading.value, limits, reading.unit, reading.detail, now)
                holds.append(Hold(latch.reason, latch.since, name))
        return holds

    def _replica_holds(self, options: PacingOptions, now: float) -> list[Hold]:
        limits = Limits(options.lag_soft_s, options.lag_hard_s)
        holds = []
        for name, replica in self._replicas.items():
            level = Level.HARD if replica.fresh.must_hold(now) else self._replica_level(replica, limits, now)
            latch = self._latch(f"replica_lag/{name}", limits)
            if latch.update(level, now=now) and latch.since is not None:
                if level in (Level.SOFT, Level.HARD):
                    latch.reason = _reason("replica_lag", replica, replica.lag_s, limits, "s", name, now)
                holds.append(Hold(latch.reason, latch.since, "replica_lag"))
        return holds

    def _replica_level(self, replica: Replica, limits: Limits, now: float) -> Level:
        if replica.fresh.unknown_for(now) is not None or replica.lag_s is None:
            return Level.UNKNOWN
        level = limits.level(replica.lag_s)
        # "At least" a small lag may be any lag.
        return Level.UNKNOWN if replica.at_least and level is Level.OK else level

    def _latch(self, name: str, limits: Limits) -> Latch:
        key = (name, limits.soft, limits.hard)
        latch = self._latches.pop(key, None) or Latch()
        self._latches[key] = latch
        if len(self._latches) > LATCHES_MAX:
            del self._latches[next(iter(self._latches))]
        return latch


def _reason(
    name: str, source: Signal | Replica, value: float | None, limits: Limits, unit: str, detail: str, now: float
) -> str:
    seconds = source.fresh.unknown_for(now)
    if seconds is not None or value is None:
        return unknown(name, seconds or 0.0, detail)
    return exceeded(name, value, limits, unit, detail)


def _speed(level: Level, value: float | None, limits: Limits) -> float:
    if level is Level.UNKNOWN or value is None:
        return UNKNOWN_SPEED
    if level is Level.OK:
        return 1.0
    if limits.hard in (limits.soft, float("inf"), float("-inf")):
        return SLOWEST_SPEED
    excess = (value - limits.soft) / (limits.hard - limits.soft)
    return max(SLOWEST_SPEED, 1.0 - (1.0 - SLOWEST_SPEED) * excess)
