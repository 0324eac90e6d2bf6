"""The closed loop: servers and lanes step by step, polls in between."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pgbackfill.control.signals import Limits, Reading
from pgbackfill.simulate.lanes import Daemon
from pgbackfill.simulate.scenario import Scenario
from pgbackfill.simulate.servers import SimulatedArchive, SimulatedPrimary, SimulatedReplica

RECORD_EVERY_S = 0.1


@dataclass(slots=True)
class Result:
    """Series with one entry per `RECORD_EVERY_S`. Rates are WAL bytes per second, means over the entry's time."""

    scenario: Scenario
    seconds: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    """All daemons together."""
    by_daemon: list[list[float]] = field(default_factory=list)
    available: list[float] = field(default_factory=list)
    """What the slowest connected replica leaves to the job."""
    pace: list[float | None] = field(default_factory=list)
    """Of the first daemon."""
    lag_s: list[float] = field(default_factory=list)
    """True lag of the worst replica."""
    stopped: list[bool] = field(default_factory=list)
    """A replica takes nothing, or has not yet caught up since."""
    rows: list[int] = field(default_factory=list)
    """Size of the first lane's next chunk."""
    chunk_s: list[float] = field(default_factory=list)
    canary_s: list[float] = field(default_factory=list)
    hold: list[str | None] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    """Share of the time that lanes spent in chunks."""
    archive_segments: list[float] = field(default_factory=list)
    rows_done: int = 0
    chunks: int = 0


def simulate(scenario: Scenario) -> Result:
    """Run a scenario. Deterministic: everything random comes from its seed."""
    return _Loop(scenario).run()


class _Loop:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rng = random.Random(scenario.seed)
        step = scenario.step_s
        self.primary = SimulatedPrimary(scenario.primary, step, self.rng)
        self.replicas = [SimulatedReplica(model, step) for model in scenario.replicas]
        self.archive = SimulatedArchive(scenario.archive, step) if scenario.archive else None
        options = scenario.job.pacing
        self.options = options
        self.daemons = [
            Daemon(scenario.job, options, started_at=index * scenario.daemons.start_every_s)
            for index in range(scenario.daemons.count)
        ]
        self.deliveries: deque[tuple[float, Callable[[float], None]]] = deque()
        self.next_poll = [daemon.started_at for daemon in self.daemons]
        self.result = Result(scenario, by_daemon=[[] for _ in self.daemons])
        self.caught_up = True
        for daemon in self.daemons:
            daemon.governor.expect([replica.name for replica in self.replicas], now=daemon.started_at)

    def run(self) -> Result:
        scenario, step = self.scenario, self.scenario.step_s
        per_record = max(1, round(RECORD_EVERY_S / step))
        own = [0.0] * len(self.daemons)
        for index in range(1, round(scenario.seconds / step) + 1):
            start, now = (index - 1) * step, index * step
            busy = sum(daemon.busy for daemon in self.daemons)
            written = [daemon.step(start, now, self.primary, busy, self.rng) for daemon in self.daemons]
            own = [total + part for total, part in zip(own, written, strict=True)]
            self.primary.step(sum(written), now)
            for replica in self.replicas:
                replica.step(self.primary.positions, now)
            if self.archive:
                self.archive.step(self.primary.positions[-1])
            self._poll(now)
            if index % per_record == 0:
                self._record([total / (per_record * step) for total in own], now)
                own = [0.0] * len(self.daemons)
        lanes = [lane for daemon in self.daemons for lane in daemon.lanes]
        self.result.rows_done = sum(lane.rows_done for lane in lanes)
        self.result.chunks = sum(lane.chunks for lane in lanes)
        return self.result

    def _poll(self, now: float) -> None:
        while self.deliveries and self.deliveries[0][0] <= now:
            self.deliveries.popleft()[1](now)
        sampling = self.scenario.sampling
        for index, daemon in enumerate(self.daemons):
            if now < self.next_poll[index]:
                continue
            self.next_poll[index] = now + sampling.interval_s * self.rng.uniform(0.95, 1.05)
            if self.scenario.daemons.same_database:
                alive = [other for other in self.daemons if other.started_at <= now]
                daemon.governor.set_lanes(sum(len(other.lanes) for other in alive), len(daemon.lanes))
            else:
                daemon.governor.set_lanes(len(daemon.lanes), len(daemon.lanes))
            for lane in daemon.lanes:
                lane.controller.set_lanes(len(daemon.lanes))
                lane.controller.throttle(
                    self.scenario.job.at(now).get("throttle_ratio", self.scenario.job.throttle_ratio)
                )
            if sampling.lost_ratio and self.rng.random() < sampling.lost_ratio:
                continue
            deliver = self._take(daemon)
            if sampling.delay_s > 0:
                self.deliveries.append((now + sampling.delay_s, deliver))
            else:
                deliver(now)

    def _take(self, daemon: Daemon) -> Callable[[float], None]:
        """Read everything now; what comes back hands it to the governor, perhaps later."""
        sampling, governor = self.scenario.sampling, daemon.governor
        lsn = self.primary.positions[-1]
        replicas = [
            (replica.name, *replica.reading(lsn, sampling.noise, self.rng))
            for replica in self.replicas
            if replica.values["connected"]
        ]
        canary = self._canary() if sampling.canary else None
        others = float(self.primary.values["foreground_cores"]) > 0
        segments = self.archive.backlog_segments(lsn) if self.archive else None

        def deliver(now: float) -> None:
            governor.observe_wal(int(lsn), 1, now=now)
            for name, replayed, state in replicas:
                governor.observe_replica(name, replay_lsn=replayed, state=state, now=now, interval=sampling.interval_s)
            if canary is not None:
                governor.observe_others(others)
                governor.observe_latency("canary_read", canary, now=now, interval=sampling.interval_s)
            if segments is not None and self.archive:
                limits = Limits(self.archive.model.soft_segments, self.archive.model.hard_segments)
                reading = Reading("archive_backlog", segments, now, unit=" segments", interval=sampling.interval_s)
                governor.observe(reading, limits, now=now)

        return deliver

    def _canary(self) -> float:
        busy = sum(daemon.busy for daemon in self.daemons)
        return self.primary.canary_s(float(busy), max(daemon.last_chunk_s for daemon in self.daemons))

    def _record(self, own: list[float], now: float) -> None:
        result, first = self.result, self.daemons[0]
        foreground: float = self.primary.values["foreground_wal_bytes_per_s"]
        stopped = any(replica.capacity <= foreground for replica in self.replicas)
        lag = max((replica.true_lag_s(self.primary.positions) for replica in self.replicas), default=0.0)
        self.caught_up = not stopped and (self.caught_up or lag <= self.options.lag_soft_s)
        left = [replica.capacity - foreground for replica in self.replicas if replica.values["connected"]]
        result.seconds.append(now)
        result.own.append(sum(own))
        for series, rate in zip(result.by_daemon, own, strict=True):
            series.append(rate)
        result.available.append(max(0.0, min(left, default=float("inf"))))
        result.pace.append(first.governor.pace(self.options, now=now))
        result.lag_s.append(lag)
        result.stopped.append(stopped or not self.caught_up)
        lane = first.lanes[0]
        result.rows.append(lane.controller.rows)
        result.chunk_s.append(first.last_chunk_s)
        busy = sum(daemon.busy for daemon in self.daemons)
        result.busy.append(busy / sum(len(daemon.lanes) for daemon in self.daemons))
        result.canary_s.append(self.primary.canary_s(float(busy), first.last_chunk_s))
        result.hold.append(lane.controller.hold.reason if lane.controller.hold else None)
        backlog = self.archive.backlog_segments(self.primary.positions[-1]) if self.archive else 0.0
        result.archive_segments.append(backlog)
