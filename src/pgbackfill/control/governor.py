"""The governor: every signal of one daemon in one place; says whether the work is held, why, and how fast it may go."""

from __future__ import annotations

from collections.abc import Iterable

from pgbackfill.control.bucket import Bucket
from pgbackfill.control.fleet import Fleet
from pgbackfill.control.holds import Hold
from pgbackfill.control.latches import Latches
from pgbackfill.control.latency import Latency, chunk_share
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.replica import ReplicaStatus
from pgbackfill.control.signals import Limits, Reading, Signal, SignalStatus
from pgbackfill.control.sizer import Caps
from pgbackfill.control.speeds import Speeds
from pgbackfill.control.usage import Usage

CHUNK_QUEUE_SHARE = 0.5
"""A chunk writes at most this part of the queue target at the current pace, so that chunks do not make the queue."""

CHUNK_WAL_MIN_BYTES = 64 << 10
"""Some 80 plain rows; below this the round trips of a chunk cost more than its rows."""


class Governor:
    """Shared by all jobs and lanes of a daemon. `now` is monotonic seconds."""

    def __init__(self, options: PacingOptions) -> None:
        self._options = options
        self._usage = Usage()
        self._fleet = Fleet(self._usage)
        self._signals: dict[str, Signal] = {}
        self._latencies: dict[str, Latency] = {}
        self._latches = Latches()
        self._speeds = Speeds(self._usage, self._fleet, self._signals, self._latencies)
        self._debt = Bucket()

    def update(self, options: PacingOptions) -> None:
        """Replace the daemon's own options; a job's are given with each question."""
        self._options = options

    def set_lanes(self, total: int, own: int) -> None:
        """Live lanes of all daemons of this database, and of this one: the capacity is divided by them."""
        self._speeds.renew()
        self._fleet.set_lanes(total, own)

    def observe(self, reading: Reading, limits: Limits | None, *, now: float) -> None:
        """Take in one poll of a signal. A reading without a value makes the signal unknown."""
        self._speeds.renew()
        signal = self._signals.get(reading.name)
        if signal is None:
            signal = self._signals[reading.name] = Signal(reading.name, now=now)
        signal.observe(reading, limits)

    def observe_latency(self, name: str, seconds: float | None, *, now: float, interval: float = 1.0) -> None:
        """Take in one canary query's latency in seconds; its limits are ratios to its own baseline."""
        self._speeds.renew()
        latency = self._latencies.get(name)
        if latency is None:
            latency = self._latencies[name] = Latency(name, now=now)
        latency.observe(seconds, busy_share=self._speeds.achieved(now=now), now=now, interval=interval)

    def observe_others(self, present: bool) -> None:
        """Note whether anybody but pgbackfill has just run a query; until told, somebody has."""
        self._speeds.renew()
        self._speeds.alone = not present

    def observe_wal(self, lsn: int, timeline: int | None, *, now: float) -> None:
        """Note where the primary's WAL stands; call it before `observe_replica` with the same `now`."""
        self._fleet.observe_wal(lsn, timeline, now=now)

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
        self._speeds.renew()
        self._fleet.observe_replica(
            name, replay_lsn=replay_lsn, state=state, lag_s=lag_s, interval=interval, options=self._options, now=now
        )

    def expect(self, names: Iterable[str], *, now: float) -> None:
        """Name the replicas that must be there: one that is not is unknown, then a hold.

        Call it when the list of names is known, not with what each poll found. Those not named are dropped until
        they are seen again.
        """
        self._speeds.renew()
        self._fleet.expect(names, now=now)

    def forget(self, name: str) -> None:
        """Drop a signal or a replica that somebody took away on purpose."""
        self._speeds.renew()
        self._signals.pop(name, None)
        self._latencies.pop(name, None)
        self._fleet.forget(name)

    def spent(
        self, wal_bytes: int, seconds: float, options: PacingOptions, *, now: float, throttle: float = 1.0
    ) -> None:
        """Note a chunk that has just ended, whatever its outcome, of a job throttled to part of its pace."""
        self._speeds.renew()
        self._usage.add(wal_bytes, since=now - seconds, now=now, throttle=throttle)
        self._debt.spend(wal_bytes, self.pace(options, now=now), since=now - seconds, now=now)

    def hold(self, options: PacingOptions, *, now: float) -> Hold | None:
        """Why a job with these options must not run now: the oldest of the holds; None if it may."""
        self.speed(options, now=now)  # what led to a hold lowers the speed before it begins
        holds = []
        for signal in self._signals.values():
            if signal.limits is not None:
                reading = signal.reading
                holds.append(
                    self._latches.update(
                        signal.name, signal.name, reading.detail, signal.level(now), signal.fresh, reading.value,
                        reading.unit, signal.limits, now=now,
                    )
                )  # fmt: skip
        for latency in self._latencies.values():
            limits = latency.limits(options, alone=self._speeds.alone) or Limits(0.0, 0.0)
            level = latency.level(limits, now)
            holds.append(
                self._latches.update(
                    latency.name, latency.name, "", level, latency.fresh, latency.value_s, "s", limits,
                    now=now, key_limits=Limits(options.latency_soft_ratio, options.latency_hard_ratio),
                )
            )  # fmt: skip
        lag = Limits(options.lag_soft_s, options.lag_hard_s)
        for replica in self._fleet:
            level = self._fleet.level(replica, lag, now)
            holds.append(
                self._latches.update(
                    "replica_lag", f"replica_lag/{replica.name}", replica.name, level, replica.fresh, replica.lag_s,
                    "s", lag, now=now,
                )
            )  # fmt: skip
        closed = [hold for hold in holds if hold is not None]
        return min(closed, key=lambda hold: (hold.since, hold.reason), default=None)

    def pace(self, options: PacingOptions, *, now: float) -> float | None:
        """WAL bytes per second that this daemon may write; None where nothing limits it."""
        return self._fleet.pace(options, now=now)

    @property
    def capacity(self) -> float | None:
        """WAL bytes per second of the slowest replica; None until a queue has shown it."""
        return self._fleet.capacity

    def cycle_s(self, wal_bytes: int, options: PacingOptions, *, now: float) -> float:
        """Seconds between two chunks of this size on one lane at the pace: from one's beginning to the next one's."""
        pace = self.pace(options, now=now)
        return wal_bytes * self._fleet.lanes_own / pace if pace else 0.0

    def wait_s(self, options: PacingOptions, *, now: float) -> float:
        """Seconds until the lanes of this daemon have paid for the WAL that they wrote."""
        return self._debt.wait_s(self.pace(options, now=now), now=now)

    def speed(self, options: PacingOptions, *, now: float) -> float:
        """The largest share of its time that a lane may spend in chunks, as the signals that are not queues have it."""
        return self._speeds.now(options, now=now).speed

    def caps(self, options: PacingOptions, *, now: float) -> Caps:
        """Limits on the next chunk: latency shrinks its time, a slow path its WAL."""
        pace = self.pace(options, now=now)
        wal = float("inf")
        if pace is not None:
            share = CHUNK_QUEUE_SHARE * options.queue_target_s / self._fleet.lanes_own
            wal = max(CHUNK_WAL_MIN_BYTES, pace * share)
        return Caps(time_ratio=chunk_share(self._speeds.now(options, now=now).effort), wal_bytes=wal)

    def signals(self, now: float) -> list[SignalStatus]:
        """Every signal for display, replicas among them, under the daemon's own limits."""
        lag = Limits(self._options.lag_soft_s, self._options.lag_hard_s)
        rows = [
            SignalStatus(
                "replica_lag", replica.lag_s, "s", lag.soft, lag.hard, replica.fresh.age(now),
                self._fleet.level(replica, lag, now), replica.name,
            )
            for replica in self._fleet
        ]  # fmt: skip
        for latency in self._latencies.values():
            bounds = latency.limits(self._options, alone=self._speeds.alone)
            soft, hard = (bounds.soft, bounds.hard) if bounds else (None, None)
            level = latency.level(bounds, now)
            rows.append(SignalStatus(latency.name, latency.value_s, "s", soft, hard, latency.fresh.age(now), level))
        for name, signal in self._signals.items():
            soft, hard = (signal.limits.soft, signal.limits.hard) if signal.limits else (None, None)
            reading, age = signal.reading, signal.fresh.age(now)
            rows.append(
                SignalStatus(name, reading.value, reading.unit, soft, hard, age, signal.level(now), reading.detail)
            )
        return sorted(rows, key=lambda row: (row.name, row.detail))

    def replicas(self, now: float) -> list[ReplicaStatus]:
        """Every replica for display; what is stale is None."""
        return self._fleet.status(now)
