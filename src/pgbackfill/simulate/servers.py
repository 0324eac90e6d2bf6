"""The simulated servers: fluid flows in fixed steps. Positions are WAL bytes since the start."""

from __future__ import annotations

import random
from typing import Any

from pgbackfill.simulate.scenario import Archive, Primary, Replica

SEGMENT_BYTES = float(16 << 20)

DISK_PER_WAL = 2.0
"""Bytes to disk per byte of WAL: the log itself and, later, the page."""

CROWDING = 0.7
"""A full machine makes a one-row query 3.3 times slower: 1.4 ms alone against 3.7 ms beside small chunks, measured."""

CHUNK_FELT = 0.015
"""What a query waits for each second of a chunk's length on a full machine: a foreground's p95 was 6.5 ms beside chunks
of 100 ms and 5.4 ms beside chunks of 23 ms, measured."""


class _Schedule:
    """The values of a table now; recomputed only where an event begins or ends."""

    def __init__(self, table: Primary | Replica) -> None:
        self._table = table
        self._base: dict[str, Any] = {name: getattr(table, name) for name in type(table).model_fields}
        edges = {event.at for event in table.events} | {event.at + event.for_s for event in table.events}
        self._edges = sorted(edges, reverse=True)
        self.values = {**self._base, **table.at(0.0)}

    def advance(self, now: float) -> None:
        while self._edges and self._edges[-1] <= now:
            self._edges.pop()
            self.values = {**self._base, **self._table.at(now)}


class SimulatedPrimary:
    """Keeps where its WAL stood at every step."""

    def __init__(self, model: Primary, step_s: float, rng: random.Random) -> None:
        self._schedule = _Schedule(model)
        self._step_s = step_s
        self._rng = rng
        self.positions = [0.0]

    @property
    def values(self) -> dict[str, Any]:
        return self._schedule.values

    def step(self, own_wal: float, now: float) -> None:
        """Advance by one step that ends at `now`, in which the chunks wrote `own_wal` bytes."""
        self._schedule.advance(now)
        foreground: float = self.values["foreground_wal_bytes_per_s"] * self._step_s
        self.positions.append(self.positions[-1] + own_wal + foreground)

    def wal_factor(self, now: float) -> float:
        """Full-page images: WAL per row is multiplied after a checkpoint and comes down linearly."""
        every = float(self.values["checkpoint_every_s"])
        if every <= 0:
            return 1.0
        since = now % every
        fading = max(0.0, 1.0 - since / float(self.values["checkpoint_seconds"]))
        return 1.0 + (float(self.values["checkpoint_wal_factor"]) - 1.0) * fading

    def chunk_seconds(self, cpu_s: float, wal: float, lanes: int) -> float:
        """Time of a chunk that needs `cpu_s` alone on the machine, while `lanes` lanes run."""
        values = self.values
        crowd = max(1.0, (float(values["foreground_cores"]) + lanes) / float(values["cores"]))
        return max(cpu_s * crowd, wal * DISK_PER_WAL * lanes / float(values["disk_bytes_per_s"]))

    def lock_conflict(self) -> bool:
        ratio: float = self.values["lock_conflict_ratio"]
        return ratio > 0 and self._rng.random() < ratio

    def canary_s(self, lanes_busy: float, chunk_s: float) -> float:
        """Latency of a one-row query: grows with the load, and with chunks that keep a core to themselves."""
        load = min(0.98, (float(self.values["foreground_cores"]) + lanes_busy) / float(self.values["cores"]))
        base = float(self.values["canary_ms"]) / 1000
        quiet = base / (1.0 - CROWDING * load * load) + CHUNK_FELT * chunk_s * load * min(1.0, lanes_busy)
        return quiet * self._rng.lognormvariate(0.0, 0.25)


class SimulatedReplica:
    """Receives what the primary wrote a transport delay ago, and replays it at its capacity."""

    def __init__(self, model: Replica, step_s: float) -> None:
        self._schedule = _Schedule(model)
        self._step_s = step_s
        self._flushed = 0.0
        self._replayed = 0.0
        self._credit = model.credit_bytes
        self._stood_at = 0
        self._frozen: int | None = None
        self._reported = 0
        self.name = model.name

    @property
    def values(self) -> dict[str, Any]:
        return self._schedule.values

    @property
    def capacity(self) -> float:
        """WAL bytes per second that it can take now."""
        values = self.values
        capacity: float = values["capacity_bytes_per_s"] if values["connected"] else 0.0
        if values["credit_bytes"] > 0 and self._credit <= 0:
            capacity = min(capacity, values["baseline_bytes_per_s"])
        return capacity

    def step(self, positions: list[float], now: float) -> None:
        self._schedule.advance(now)
        values, step = self.values, self._step_s
        room = self.capacity * step
        arrived = positions[max(0, len(positions) - 1 - round(values["transport_delay_s"] / step))]
        taken = max(0.0, min(room, arrived - self._flushed))
        self._flushed += taken
        due = positions[max(0, len(positions) - 1 - round(values["apply_delay_s"] / step))]
        self._replayed = max(self._replayed, min(self._flushed, due))
        if values["credit_bytes"] > 0:
            change = values["baseline_bytes_per_s"] * step - taken
            self._credit = min(values["credit_bytes"], max(0.0, self._credit + change))
        while self._stood_at + 1 < len(positions) and positions[self._stood_at + 1] <= self._watched:
            self._stood_at += 1

    @property
    def _watched(self) -> float:
        return self._flushed if self.values["flush_is_watched"] else self._replayed

    def true_lag_s(self, positions: list[float]) -> float:
        """Now minus the time at which the primary stood here, to a step."""
        if positions[-1] - self._watched < 1.0:
            return 0.0
        return (len(positions) - 1 - self._stood_at) * self._step_s

    def reading(self, lsn: float, noise: float, rng: random.Random) -> tuple[int | None, str | None]:
        """What pg_stat_replication says: the position and the state."""
        values = self.values
        if not values["readable"]:
            return None, None
        backlog = max(0.0, lsn - self._watched)
        noisy = int(lsn - backlog * (1.0 + noise * rng.uniform(-1.0, 1.0)))
        self._reported = max(self._reported, noisy)
        if values["frozen"]:
            self._frozen = self._reported if self._frozen is None else self._frozen
            return self._frozen, "streaming"
        self._frozen = None
        return self._reported, "streaming"


class SimulatedArchive:
    """Segments that wait to be archived."""

    def __init__(self, model: Archive, step_s: float) -> None:
        self.model = model
        self._room = model.capacity_bytes_per_s * step_s
        self._archived = 0.0

    def step(self, position: float) -> None:
        self._archived = min(position, self._archived + self._room)

    def backlog_segments(self, position: float) -> float:
        return float((position - self._archived) // SEGMENT_BYTES)
