"""What one poll of a replica says about its path, and how long that path is without a queue."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

FLOOR_BYTES_PER_S = float(1 << 20)
"""Never slower than this (or a tenth of the known capacity) unless held: without a flow nothing is learned."""

FIRST_FLOW_BYTES_PER_S = float(4 << 20)
"""Up to this our first flow is small: twice the pace with which an unknown path is begun."""

STARVED_S = 2.0
"""A lag that stays while we run at the floor is the length of the path, not our queue."""

STARVED_QUEUES = 1.5
"""A real queue settles below this many targets."""

STEADY = 0.7
"""A lag that varies by more than this is a queue that fills and drains."""

PATH_POLLS = 5
"""Bursts make the lag a sawtooth that begins at zero, so the path is the largest lag of so many polls."""

FIRST_POLLS = 2 * PATH_POLLS
"""The path is first judged after so many: the largest lag of the latter half against that of the former."""

SHORT_PATH_S = 0.05
"""A shorter path counts as none: in one data centre, where daemons must not differ by what they happened to measure."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one poll says. Rates in WAL bytes per second; `own` is ours, all lanes of the database's daemons."""

    lag_s: float
    backlog_bytes: int
    drain: float | None
    total: float
    own: float
    own_now: float
    """`own` over a shorter time: what the last chunks achieved."""
    throttle: float = 1.0
    """The part of our pace that a throttle leaves: without it, `own` would be so much larger."""


class PathLength:
    """How long WAL travels when no queue stands."""

    def __init__(self) -> None:
        self._path_s = 0.0
        self._at_first = FIRST_POLLS
        self._starved_since: float | None = None
        self._starved_lags = (math.inf, 0.0)
        self._lags: deque[float] = deque(maxlen=FIRST_POLLS)

    @property
    def seconds(self) -> float:
        """Zero where the path is short."""
        return self._path_s if self._path_s >= SHORT_PATH_S else 0.0

    def poll(self, flow: Flow, *, target_s: float, longest_s: float, now: float) -> None:
        """Take in one poll; a path is never taken for longer than `longest_s`.

        Its length is the lag at our first small flow, or one that stays while we starve on it.

        Only where nobody else writes more than we do: otherwise it may be their queue, and latecomers would stack
        their queues on one another. Any smaller lag later corrects it.
        """
        self._lags.append(flow.lag_s)
        earlier, latest = list(self._lags)[:-PATH_POLLS], list(self._lags)[-PATH_POLLS:]
        lag = max(latest)
        if self._at_first > 0 and flow.own > 0:
            self._at_first -= 1
            alone = flow.total <= 2 * flow.own <= 2 * FIRST_FLOW_BYTES_PER_S
            if self._at_first == 0 and alone and max(earlier, default=0.0) >= STEADY * lag:
                self._path_s = min(lag, longest_s)
        self._path_s = min(self._path_s, lag)
        alone = 0 < flow.total <= 2 * flow.own and flow.own <= 1.5 * FLOOR_BYTES_PER_S
        low, high = min(self._starved_lags[0], lag), max(self._starved_lags[1], lag)
        if not alone or lag < self._path_s + STARVED_QUEUES * target_s:
            self._starved_since, self._starved_lags = None, (math.inf, 0.0)
        elif self._starved_since is None or low < STEADY * high:
            self._starved_since, self._starved_lags = now, (lag, lag)
        else:
            self._starved_lags = (low, high)
            if now - self._starved_since >= STARVED_S:
                self._path_s = min(low, longest_s)
