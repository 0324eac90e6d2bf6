"""A simulated daemon: its governor, and lanes that run chunks one after the other."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pgbackfill.control.controller import Controller
from pgbackfill.control.decision import ChunkSample, Outcome, Wait
from pgbackfill.control.governor import Governor
from pgbackfill.control.options import PacingOptions
from pgbackfill.simulate.scenario import Job
from pgbackfill.simulate.servers import SimulatedPrimary

RETRY_JITTER_S = 0.05
"""The worker waits up to this after a lock conflict."""

WARM_UP_S = 1.0
"""Signals are polled for so long before the first chunk: baselines are those of a server without us."""


@dataclass(slots=True)
class Running:
    """A chunk in flight."""

    start: float
    end: float
    sample: ChunkSample


class Lane:
    """One lane: event by event, with its own time inside a step."""

    def __init__(self, controller: Controller, start_at: float) -> None:
        self.controller = controller
        self.ready_at = start_at
        self.running: Running | None = None
        self.rows_done = 0
        self.busy_s = 0.0
        self.chunks = 0


class Daemon:
    """All lanes of one daemon; `started_at` in seconds."""

    def __init__(self, job: Job, options: PacingOptions, *, started_at: float) -> None:
        self.job = job
        self.options = options
        self.governor = Governor(options)
        self.started_at = started_at
        first = started_at + WARM_UP_S
        self.lanes = [Lane(Controller(self.governor, options), first) for _ in range(job.lanes)]
        self.last_chunk_s = 0.0

    def step(self, start: float, end: float, primary: SimulatedPrimary, busy_lanes: int, rng: random.Random) -> float:
        """Run the lanes from `start` to `end`; returns the WAL bytes that they wrote."""
        wal = 0.0
        for lane in self.lanes:
            wal += self._lane(lane, start, end, primary, busy_lanes, rng)
        return wal

    @property
    def busy(self) -> int:
        return sum(lane.running is not None for lane in self.lanes)

    def _lane(
        self, lane: Lane, start: float, end: float, primary: SimulatedPrimary, busy: int, rng: random.Random
    ) -> float:
        wal = 0.0
        while True:
            chunk = lane.running
            if chunk is not None:
                span = chunk.end - chunk.start
                overlap = max(0.0, min(chunk.end, end) - max(chunk.start, start))
                wal += chunk.sample.wal_bytes * overlap / span if span > 0 else chunk.sample.wal_bytes
                lane.busy_s += overlap
                if chunk.end >= end:
                    return wal
                self._finish(lane, chunk, rng)
                continue
            if lane.ready_at >= end:
                return wal
            now = max(lane.ready_at, start)
            decision = lane.controller.next(now=now)
            if isinstance(decision, Wait):
                lane.ready_at = now + decision.seconds
            else:
                lane.running = self._begin(decision.rows, now, primary, busy, rng)

    def _begin(self, rows: int, now: float, primary: SimulatedPrimary, busy: int, rng: random.Random) -> Running:
        values = {**self.job.model_dump(exclude={"events"}), **self.job.at(now)} if self.job.events else None
        row_us = values["row_us"] if values else self.job.row_us
        changed_ratio = values["changed_ratio"] if values else self.job.changed_ratio
        row_wal = values["row_wal_bytes"] if values else self.job.row_wal_bytes
        changed = round(rows * changed_ratio)
        # A scanned row costs a twentieth of a changed one.
        cpu = self.job.overhead_ms / 1e3 + (changed + 0.05 * (rows - changed)) * row_us / 1e6
        wal = changed * row_wal * primary.wal_factor(now)
        seconds = primary.chunk_seconds(cpu, wal, max(1, busy)) * rng.uniform(0.95, 1.05)
        timeout = self.options.statement_timeout_ms / 1e3
        if primary.lock_conflict():
            seconds = min(seconds, rng.uniform(0, 1) * cpu + self.options.lock_timeout_ms / 1e3)
            return Running(now, now + seconds, ChunkSample(Outcome.RETRY, rows, 0, 0, 0, seconds))
        if seconds > timeout:
            return Running(now, now + timeout, ChunkSample(Outcome.RETRY, rows, 0, 0, 0, timeout))
        return Running(now, now + seconds, ChunkSample(Outcome.COMMITTED, rows, rows, changed, int(wal), seconds))

    def _finish(self, lane: Lane, chunk: Running, rng: random.Random) -> None:
        lane.running = None
        lane.controller.finished(chunk.sample, now=chunk.end)
        lane.ready_at = chunk.end
        lane.chunks += 1
        self.last_chunk_s = chunk.sample.seconds
        if chunk.sample.outcome is Outcome.COMMITTED:
            lane.rows_done += chunk.sample.rows_scanned
        else:
            lane.ready_at += rng.uniform(0, RETRY_JITTER_S)
