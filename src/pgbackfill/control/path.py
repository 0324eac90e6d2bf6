"""The pace that one replica allows: a network path with a capacity and a standing queue.

As BBR and LEDBAT (RFC 6817) do: take the drain rate seen while a queue stands as the capacity, run at the own share of
it, steer the queue to a small target. While no queue stands nothing is known about the capacity but that it is more,
so the pace probes upward exponentially.

`docs/decisions/0010-pace-law.md` derives the constants; the simulations hold them.
"""

from __future__ import annotations

import math

from pgbackfill.control.flow import FLOOR_BYTES_PER_S, Flow, PathLength

TRACKING_S = 0.5
"""First-order tracking of capacity and share, up and down: as long as the window of the drain rate."""

QUEUE_GAIN = 0.5
"""Pace falls by half of the relative error of the queue. Damping 0.56 at a 0.2 s queue and 0.5 s of tracking."""

GAIN_MIN, GAIN_MAX = 0.1, 1.3
"""The queue term alone never changes the pace by more: measured on a prototype; and as above the soft limit."""

GAIN_ABOVE_SOFT = 0.1
"""Above the soft limit of the lag the queue is drained before anything else."""

FAIR_SHARE = 0.03
"""Every daemon adds this share of the capacity, big or small: with the proportional decrease it makes strangers equal.

It costs a standing queue that is 6 % above the target for one daemon, 24 % for four.
"""

FIRST_BYTES_PER_S = float(2 << 20)
"""The pace of a path of which nothing is known, one doubling above the floor: 18 MB/s are found in 1.2 s.

Blind for 0.35 s, it builds 0.35 s of queue on a path of 1 MB/s; twice as much made a lag of 7 s on one of 0.6 MB/s.
"""

PROBE_PER_S = 2.8
"""Exponent of probing: twice as much every 0.25 s. In the 0.35 s until a queue is seen it builds 0.17 s of queue."""

RISING = 1.03
RISING_MEAN_S = 1.0
RISING_PROBE_PER_S = 1.4
"""What looks like a queue below its target may be the length of the path. If the drain rate still rises with our pace,
3 % above its mean of a second, it is: probe on, at most half as fast. A saturated path drains evenly.
"""

PROBE_ABOVE_KNEE = 0.5
"""Above the rate at which a queue last stood, probing starts at this part of its speed, which doubles every second."""

FLOOR_SHARE = 0.1
FLOOR_MIN_BYTES_PER_S = float(64 << 10)

STANDING_SHARE = 0.25
"""A queue stands when it exceeds this share of its target."""

STANDING_MIN_BYTES = 16 << 10
"""Two pages outstanding are WAL in flight."""

STOOD_S = 0.3
"""The drain rate counts as capacity once a queue stood for so long: most of its window."""

STOPPED_SHARE = 0.05
"""A replica that drains less than this part of its capacity has stopped: that is for the limits on lag to see.

What it could do before is kept; what it can do now is learned while it catches up.
"""

OWN_SHARE_MIN = 0.05
"""With less of the WAL than this our own flow says nothing about our share."""

WINDUP = 2.0
"""The pace runs no further ahead of what is achieved: a job that is itself the bottleneck stores up no speed."""

MEMORY_HALF_LIFE_S = 30.0
"""How long a rate that once worked is trusted after a hold."""


class Path:
    """Learns at every poll of the replica; `pace` may be asked at any time, for any queue target."""

    def __init__(self) -> None:
        self.capacity: float | None = None
        self.base = FIRST_BYTES_PER_S
        self.queue_s = 0.0
        self.interval_s = 0.1
        self._at: float | None = None
        self._standing_since: float | None = None
        self._clear_since: float | None = None
        self._length = PathLength()
        self._knee = math.inf
        self._memory = 0.0
        self._drain_mean = 0.0
        self._gain_max = GAIN_MAX

    def poll(self, flow: Flow, *, target_s: float, soft_s: float, now: float) -> None:
        """Take in one poll, made under the given queue target and soft limit of the lag (seconds)."""
        seconds = 0.0 if self._at is None else now - self._at
        if seconds <= 0 and self._at is not None:
            return
        self._at = now
        # An empty queue invites more only where it is our own pace that leaves it empty.
        self._gain_max = 1.0 if flow.throttle < 1.0 else GAIN_MAX
        if seconds > 0:
            self.interval_s += 0.3 * (min(seconds, 30.0) - self.interval_s)
        self._measure_queue(flow, target_s, soft_s, now)
        weight = 1.0 - math.exp(-seconds / TRACKING_S)
        self._memory *= 0.5 ** (seconds / MEMORY_HALF_LIFE_S)
        if flow.backlog_bytes < STANDING_MIN_BYTES or self.queue_s < STANDING_SHARE * target_s:
            self._standing_since = None
            self._clear_since = now if self._clear_since is None else self._clear_since
            self._probe(flow, target_s, soft_s, seconds, now)
            return
        self._clear_since = None
        if self._standing_since is None:
            self._standing_since = now
        stopped = flow.drain is not None and flow.drain < STOPPED_SHARE * (self.capacity or 0.0)
        # Polls that are seldom see the whole window of the drain rate; waiting for another one may double the queue.
        clear = self.interval_s >= STOOD_S and flow.backlog_bytes > soft_s * (flow.drain or math.inf)
        if flow.drain is not None and not stopped and (clear or self._stood(now)):
            rising = flow.drain > RISING * self._drain_mean > 0 and self.queue_s < target_s
            self._drain_mean += (1.0 - math.exp(-seconds / RISING_MEAN_S)) * (flow.drain - self._drain_mean)
            if rising and flow.own > OWN_SHARE_MIN * flow.total:
                room = min(1.0, 2.0 * (1.0 - self.queue_s / target_s))
                self.base *= math.exp(RISING_PROBE_PER_S * room * min(seconds, 1.0))
                self.capacity = max(self.capacity or 0.0, flow.drain)
            else:
                self._follow(flow, flow.drain, weight)

    def pace(self, *, target_s: float, soft_s: float) -> float:
        """WAL bytes per second that all lanes together may write."""
        gain = min(QUEUE_GAIN, QUEUE_GAIN * target_s / self.interval_s)
        factor = 1.0 + gain * (target_s - self.queue_s) / target_s
        factor = min(max(factor, GAIN_MIN), self._gain_max)
        if self.queue_s + self.path_s > soft_s:
            factor = GAIN_ABOVE_SOFT
        return max(self.base * factor + FAIR_SHARE * (self.capacity or 0.0), self.floor)

    @property
    def floor(self) -> float:
        known = max(self.capacity or 0.0, self._memory)
        if known <= 0:
            return FLOOR_BYTES_PER_S
        return min(FLOOR_BYTES_PER_S, max(FLOOR_MIN_BYTES_PER_S, FLOOR_SHARE * known))

    def _measure_queue(self, flow: Flow, target_s: float, soft_s: float, now: float) -> None:
        lag = flow.lag_s
        if self.capacity and flow.backlog_bytes:
            drains = self.capacity
            if flow.drain is not None and self._stood(now):  # the tracked capacity is old news when a link slows down
                drains = max(min(drains, flow.drain), FLOOR_BYTES_PER_S)
            lag = max(lag, min(flow.backlog_bytes / drains, 2 * soft_s))
        if flow.backlog_bytes > 0:
            self._length.poll(flow, target_s=target_s, longest_s=soft_s / 2, now=now)
        self.queue_s = max(0.0, lag - self.path_s)

    def _stood(self, now: float) -> bool:
        return self._standing_since is not None and now - self._standing_since >= STOOD_S

    @property
    def path_s(self) -> float:
        """How long WAL travels when no queue stands, in seconds."""
        return self._length.seconds

    def _follow(self, flow: Flow, drain: float, weight: float) -> None:
        """A queue stands, so the drain rate is the capacity, and we know what part of it was ours."""
        self.capacity = drain if self.capacity is None else self.capacity + weight * (drain - self.capacity)
        if flow.own > OWN_SHARE_MIN * flow.total and flow.total > 0:
            # The share that we would have without a throttle: one that halves the flow must not halve the pace too.
            own = flow.own / flow.throttle
            share = drain * min(1.0, own / (flow.total - flow.own + own))
            self.base += weight * (share - self.base)
            self._memory = max(self._memory, self.base)
            self._knee = self.base
        else:
            # Held, or just begun: what the others leave, but no more than what once worked.
            free = max(0.0, drain - flow.total + flow.own)
            self.base += weight * (min(free, max(self._memory, self.floor)) - self.base)
            self._knee = free
        self.base = max(self.base, self.floor)

    def _probe(self, flow: Flow, target_s: float, soft_s: float, seconds: float, now: float) -> None:
        """No queue stands: the capacity is above what flows."""
        if flow.drain is not None and self.capacity is not None and flow.drain > self.capacity:
            self.capacity += (1.0 - math.exp(-seconds / TRACKING_S)) * (flow.drain - self.capacity)
        if flow.own <= 0:
            return  # held or between jobs: nothing is learned, and nothing forgotten
        if flow.drain is not None and flow.backlog_bytes > 2 * target_s * flow.drain:
            return  # more is on its way than drains in good time: a queue begins to show
        achieved = max(flow.own, flow.own_now) / flow.throttle
        # Until the next poll, an exponent x builds x * t^2 / 2 seconds of queue unseen: at most half the soft limit.
        blind_s = self.interval_s + 0.1 + self.path_s
        exponent = min(PROBE_PER_S, soft_s / blind_s**2) * min(seconds, 10.0)
        if self._knee < math.inf:
            # The way up is known, so nothing is lost by short steps: after a lost poll too, one step to f times the
            # capacity, which builds (f - 1) * t, stays below that.
            late_s = max(self.interval_s, seconds) + 0.1 + self.path_s
            exponent = min(exponent, math.log1p(soft_s / 2 / late_s))
        if self.base > 0.9 * self._knee and self._clear_since is not None:
            exponent *= min(1.0, PROBE_ABOVE_KNEE * 2.0 ** min(now - self._clear_since, 10.0))
        grown = self.base * math.exp(exponent)
        if flow.throttle < 1.0:  # no queue can stand, so nothing above the rate at which one last stood is explored
            grown = max(self.base, min(grown, self._knee))
        self.base = max(min(grown, max(self.base, WINDUP * achieved)), self.floor)
        # A pace far above what is achieved comes down slowly, so that one slow chunk does not undo the search.
        if self.base > WINDUP * achieved:
            self.base += (1.0 - math.exp(-seconds / 2.0)) * (max(WINDUP * achieved, self.floor) - self.base)
