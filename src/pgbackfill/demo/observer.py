"""Looks at the primary, the job and the foreground several times a second and writes down what it sees."""

from __future__ import annotations

import json
import os
import subprocess
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import asyncpg

from pgbackfill.control.wal_history import WalHistory
from pgbackfill.demo.connection import connected
from pgbackfill.demo.recording import Point, Recording
from pgbackfill.demo.shop import JOB
from pgbackfill.demo.stage import STANDBY
from pgbackfill.embedded import EmbeddedError

INTERVAL_S = 0.1
# The job's progress changes with each chunk, and a chunk takes about 0.1 s.
TICKS_PER_POINT = 2
RATE_WINDOW_S = 1.0
WAL_RATE_WINDOW_S = 3.0

WAL_QUERY = """
SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS written,
       (SELECT (replay_lsn - '0/0'::pg_lsn)::bigint FROM pg_stat_replication WHERE application_name = $1) AS replayed
"""
PROGRESS_QUERY = """
SELECT status, percent::float8, rows_scanned, rows_estimated, rows_quarantined, chunk_rows, chunk_ms, sleep_ms,
       extract(epoch FROM eta_low)::float8 AS eta_low_s,
       extract(epoch FROM eta_high)::float8 AS eta_high_s,
       hold_reason, extract(epoch FROM now() - hold_since)::float8 AS held_s
FROM pgbackfill.progress WHERE name = $1
"""


class Observer:
    """`watch` and `read_traffic` run in a task group and fill the recording; `clock` gives its seconds."""

    def __init__(self, dsn: str, recording: Recording, clock: Callable[[], float]) -> None:
        self._dsn = dsn
        self._recording = recording
        self._clock = clock
        self._wal = WalHistory()
        self._written: deque[tuple[float, int]] = deque(maxlen=round(WAL_RATE_WINDOW_S / INTERVAL_S))
        self._replayed: int | None = None

    @property
    def wal_bytes_per_s(self) -> float | None:
        """What the primary has written lately; None until there are two looks at it."""
        if len(self._written) < 2:
            return None
        (first_s, first), (last_s, last) = self._written[0], self._written[-1]
        return (last - first) / (last_s - first_s)

    async def watch(self) -> None:
        """Until cancelled."""
        async with connected(self._dsn) as connection:
            tick = 0
            while True:
                lag_s = await self._lag(connection)
                if tick % TICKS_PER_POINT == 0:
                    row = await connection.fetchrow(PROGRESS_QUERY, JOB)
                    self._recording.add(self._point(row, lag_s))
                tick += 1
                await anyio.sleep(INTERVAL_S)

    async def read_traffic(self, process: subprocess.Popen[bytes]) -> None:
        """Until cancelled; raises EmbeddedError when the application ends."""
        assert process.stdout is not None
        source = process.stdout.fileno()
        unread = b""
        while True:
            await anyio.wait_readable(source)
            data = os.read(source, 65536)
            if not data:
                raise EmbeddedError(f"the demonstration's application ended early: {unread.decode(errors='replace')}")
            *lines, unread = (unread + data).split(b"\n")
            now_s = self._clock()
            for line in lines:
                if line.startswith(b"["):
                    self._recording.latencies_ms += [(now_s, float(ms)) for ms in json.loads(line)]

    async def _lag(self, connection: asyncpg.Connection[Any]) -> float | None:
        row = await connection.fetchrow(WAL_QUERY, STANDBY)
        assert row is not None
        now_s = self._clock()
        self._wal.observe(row["written"], None, now=now_s)
        self._written.append((now_s, row["written"]))
        # A standby that is cut off has no row: it stands where it was last seen.
        self._replayed = self._replayed if row["replayed"] is None else row["replayed"]
        lag = None if self._replayed is None else self._wal.lag(self._replayed, now=now_s)
        if lag is None:
            return None
        self._recording.lags_s.append((now_s, lag.seconds))
        return lag.seconds

    def _point(self, row: asyncpg.Record | None, lag_s: float | None) -> Point:
        now_s = self._clock()
        job: dict[str, Any] = {} if row is None else dict(row)
        scanned = job.get("rows_scanned") or 0
        return Point(
            at_s=now_s,
            status=job.get("status") or "not yet enqueued",
            percent=job.get("percent"),
            rows_scanned=scanned,
            rows_estimated=job.get("rows_estimated"),
            rows_quarantined=job.get("rows_quarantined") or 0,
            rows_per_s=self._rows_per_s(now_s, scanned) if job else None,
            chunk_rows=job.get("chunk_rows"),
            chunk_ms=job.get("chunk_ms"),
            sleep_ms=job.get("sleep_ms"),
            eta_low_s=job.get("eta_low_s"),
            eta_high_s=job.get("eta_high_s"),
            hold_reason=job.get("hold_reason"),
            held_s=job.get("held_s"),
            lag_s=lag_s,
            p99_ms=self._recording.recent_p99_ms(now_s),
        )

    def _rows_per_s(self, now_s: float, scanned: int) -> float:
        points = self._recording.points
        first = next((point for point in points[-20:] if point.at_s >= now_s - RATE_WINDOW_S - INTERVAL_S), None)
        if first is None or now_s <= first.at_s:
            return 0.0
        return (scanned - first.rows_scanned) / (now_s - first.at_s)
