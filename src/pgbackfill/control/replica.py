"""One replica as a network path: it drains at some rate, and lag is queueing delay."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pgbackfill.control.signals import Freshness
from pgbackfill.control.wal_history import WalHistory

DRAIN_WINDOW_S = 0.5
"""The drain rate is taken over this time: five polls at 0.1 s, short enough to see a change within half a second."""

STANDING_BYTES = 256 << 10
"""Less than this outstanding is WAL in flight, not a queue: 10 ms of a 25 MB/s link."""

MIN_DRAIN_BYTES_PER_S = 1 << 20
"""A replica that drains less stands still, or has little to do.

Backlog over such a rate would be a lag of minutes at once: about a replica that stands still decides true lag, which
grows second by second; and once it drains again, a whole window has to lie behind before its rate is believed.
"""


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica for display. None: not known."""

    name: str
    state: str | None
    lag_s: float | None
    backlog_bytes: int | None
    drain_rate: float | None
    capacity: float | None = None


class Replica:
    """What is known about one replica. LSNs are integers; rates are WAL bytes per second."""

    def __init__(self, name: str, *, now: float) -> None:
        self.name = name
        self.state: str | None = None
        self.fresh = Freshness(now=now)
        self.at_least = False
        self.lag_s: float | None = None
        """The larger of measured and expected lag: what the limits are compared with."""
        self.measured_lag_s: float | None = None
        """Without the expectation."""
        self.backlog_bytes: int | None = None
        self.drain_rate: float | None = None
        self._replayed: deque[tuple[float, int]] = deque()
        self._standing_since: float | None = None
        self._draining_since: float | None = None

    def observe(
        self,
        history: WalHistory,
        *,
        replay_lsn: int | None,
        state: str | None,
        now: float,
        lag_s: float | None = None,
        interval: float = 1.0,
    ) -> None:
        """Note one poll. A NULL state or LSN (no rights, no row) is unknown, whatever else is there.

        `lag_s` is a lag measured by other means (heartbeat row, Aurora's function); the larger one counts. It
        suffices where there are no LSNs.
        """
        self.state = state
        true_lag = history.lag(replay_lsn, now=now) if replay_lsn is not None and state is not None else None
        known = true_lag is not None or (lag_s is not None and state is not None)
        self.fresh.reading(good=known, at=now, interval=interval)
        if not known:
            return
        self.at_least = true_lag is not None and true_lag.at_least
        measured = [lag for lag in (true_lag.seconds if true_lag else None, lag_s) if lag is not None]
        candidates = list(measured)
        if replay_lsn is not None and true_lag is not None:
            self.backlog_bytes = history.backlog_bytes(replay_lsn)
            self._note(replay_lsn, now)
            expected = self.expected_lag_s(now)
            if expected is not None:
                candidates.append(expected)
        self.lag_s = max(candidates)
        self.measured_lag_s = max(measured)

    def expected_lag_s(self, now: float) -> float | None:
        """Backlog over drain rate: how long the WAL written now will have to wait.

        None unless a queue has stood and drained for a whole window: the drain rate of a replica that had nothing to
        do says nothing about what it can do, nor does one that holds a part of the time in which it stood still.
        """
        if self.backlog_bytes is None or not self.drain_rate:
            return None
        if self._standing_since is None or self._draining_since is None:
            return None
        if now - max(self._standing_since, self._draining_since) < DRAIN_WINDOW_S:
            return None
        return self.backlog_bytes / self.drain_rate

    def _note(self, replay_lsn: int, now: float) -> None:
        if (self.backlog_bytes or 0) < STANDING_BYTES:
            self._standing_since = None
        elif self._standing_since is None:
            self._standing_since = now
        if self._replayed and (replay_lsn < self._replayed[-1][1] or now < self._replayed[-1][0]):
            self._replayed.clear()  # another timeline, or rebuilt from an older backup
        if self._replayed and self._replayed[-1][0] == now:
            self._replayed.pop()
        self._replayed.append((now, replay_lsn))
        while len(self._replayed) > 2 and self._replayed[1][0] <= now - DRAIN_WINDOW_S:
            self._replayed.popleft()
        start, first = self._replayed[0]
        self.drain_rate = (replay_lsn - first) / (now - start) if now > start else None
        if (self.drain_rate or 0.0) < MIN_DRAIN_BYTES_PER_S:
            self._draining_since = None
        elif self._draining_since is None:
            self._draining_since = now
