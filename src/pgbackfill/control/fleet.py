"""All replicas of one primary, measured against the same WAL history; the slowest one sets the pace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pgbackfill.control.flow import Flow
from pgbackfill.control.options import PacingOptions
from pgbackfill.control.path import Path
from pgbackfill.control.replica import Replica, ReplicaStatus
from pgbackfill.control.signals import Level, Limits
from pgbackfill.control.usage import Usage
from pgbackfill.control.wal_history import WalHistory

UNKNOWN_SPEED = 0.25
"""While a signal is unknown the work runs at a quarter: slow at once, without stopping for one lost poll."""

SHARE_WINDOW_S = 1.0
"""Our part of the WAL is taken over this time: some ten chunks, so that one more or less does not matter."""

ACHIEVED_WINDOW_S = 0.3
"""What is achieved now is taken over this: three polls, so that a doubling every 0.25 s is not mistaken for a lull."""

ACHIEVED_LEAST_S = 0.1
"""Where the work has only just begun, it is taken from there, over one poll at least: a chunk alone is a burst."""


@dataclass(slots=True)
class _Member:
    replica: Replica
    path: Path


class Fleet:
    """Replicas by name. `now` is monotonic seconds, LSNs are integers."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._members: dict[str, _Member] = {}
        self._history = WalHistory()
        self._lanes_total = 1
        self._lanes_own = 1

    def set_lanes(self, total: int, own: int) -> None:
        """Live lanes of all daemons of this database, and of this one."""
        self._lanes_own = max(1, own)
        self._lanes_total = max(self._lanes_own, total)

    @property
    def lanes_own(self) -> int:
        return self._lanes_own

    def observe_wal(self, lsn: int, timeline: int | None, *, now: float) -> None:
        self._history.observe(lsn, timeline, now=now)

    def observe_replica(
        self,
        name: str,
        *,
        replay_lsn: int | None,
        state: str | None,
        lag_s: float | None,
        interval: float,
        options: PacingOptions,
        now: float,
    ) -> None:
        member = self._members.get(name) or self._add(name, now)
        replica = member.replica
        replica.observe(self._history, replay_lsn=replay_lsn, state=state, now=now, lag_s=lag_s, interval=interval)
        if replica.fresh.unknown_for(now) is None and replica.lag_s is not None and replica.backlog_bytes is not None:
            own, total = self._flows(now, max(SHARE_WINDOW_S, 2 * member.path.interval_s))
            running_s = max(now - self._usage.began, ACHIEVED_LEAST_S)
            own_now = self._achieved(now, max(min(ACHIEVED_WINDOW_S, running_s), member.path.interval_s))
            throttle = self._usage.throttle(now - max(SHARE_WINDOW_S, 2 * member.path.interval_s), now)
            lag, backlog = replica.measured_lag_s or 0.0, replica.backlog_bytes
            member.path.poll(
                Flow(lag, backlog, replica.drain_rate, total, own, own_now, throttle),
                target_s=options.queue_target_s,
                soft_s=options.lag_soft_s,
                now=now,
            )

    def expect(self, names: Iterable[str], *, now: float) -> None:
        wanted = set(names)
        for name in sorted(wanted - self._members.keys()):
            self._add(name, now)
        for name in self._members.keys() - wanted:
            del self._members[name]

    def forget(self, name: str) -> None:
        self._members.pop(name, None)

    def __iter__(self) -> Iterator[Replica]:
        return iter([member.replica for member in self._members.values()])

    def pace(self, options: PacingOptions, *, now: float) -> float | None:
        """WAL bytes per second for the lanes of this daemon together; None where no replica limits it."""
        paces = []
        for member in self._members.values():
            pace = member.path.pace(target_s=options.queue_target_s, soft_s=options.lag_soft_s)
            if member.replica.fresh.unknown_for(now) is not None:
                paces.append(pace * UNKNOWN_SPEED)
            elif member.replica.backlog_bytes is not None:
                paces.append(pace)
        return min(paces) * self._lanes_own / self._lanes_total if paces else None

    @property
    def capacity(self) -> float | None:
        """WAL bytes per second of the slowest replica, where a queue has shown it."""
        known = [member.path.capacity for member in self._members.values() if member.path.capacity is not None]
        return min(known, default=None)

    def level(self, replica: Replica, limits: Limits, now: float) -> Level:
        if replica.fresh.unknown_for(now) is not None or replica.lag_s is None:
            return Level.UNKNOWN
        level = limits.level(replica.lag_s)
        # "At least" a small lag may be any lag.
        return Level.UNKNOWN if replica.at_least and level is Level.OK else level

    def status(self, now: float) -> list[ReplicaStatus]:
        rows = []
        for name, member in sorted(self._members.items()):
            replica = member.replica
            if replica.fresh.unknown_for(now) is None:
                rows.append(
                    ReplicaStatus(
                        name,
                        replica.state,
                        replica.lag_s,
                        replica.backlog_bytes,
                        replica.drain_rate,
                        member.path.capacity,
                    )
                )
            else:
                rows.append(ReplicaStatus(name, replica.state, None, None, None))
        return rows

    def _add(self, name: str, now: float) -> _Member:
        member = self._members[name] = _Member(Replica(name, now=now), Path())
        return member

    def _flows(self, now: float, window_s: float) -> tuple[float, float]:
        """WAL over the window of all lanes of this database's daemons, and of everybody, in bytes per second.

        A chunk reports its WAL when it ends, so while chunks run the window ends with the last of them.
        """
        end = self._last(now)
        start = self._history.begins(end - window_s)
        total = self._history.rate_between(start, end) or 0.0
        own = self._usage.wal_rate(start, end) * self._lanes_total / self._lanes_own
        return min(own, total), total

    def _achieved(self, now: float, window_s: float) -> float:
        """The same of our lanes alone, over so short a time that polls of the WAL's position say little about it."""
        end = self._last(now)
        return self._usage.wal_rate(end - window_s, end) * self._lanes_total / self._lanes_own

    def _last(self, now: float) -> float:
        last = self._usage.last_end
        return last if last is not None and now - last < SHARE_WINDOW_S / 2 else now
