"""How others pace such work: replicas of their published policies, all on the very same chunk statement.

A policy says how many rows come next and what happens between two chunks. Lag is read from a heartbeat row on the
standby, written every 100 ms: as gh-ost does, and better than the others have it (on MySQL, Seconds_Behind_Master says
0 behind a slow network). None of them retries, resumes or verifies here: only pace and chunk size are compared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import anyio
import anyio.lowlevel

Lag = Callable[[], Awaitable[float]]
"""Seconds of lag of the standby, by its heartbeat row."""


class Policy(Protocol):
    """`rows` for the next chunk; `between` chunks, after one of `rows` that took `seconds`, it waits."""

    @property
    def rows(self) -> int: ...

    async def between(self, rows: int, seconds: float, lag: Lag) -> None: ...


@dataclass(slots=True)
class Fixed:
    """The script that everybody writes: so many rows, so long a sleep.

    pgroll is this with 1000 rows and no delay (xataio/pgroll, pkg/backfill/config.go: `DefaultBatchSize`,
    `DefaultDelay`), LHM's plain throttler with 2000 rows and 0.1 s (Shopify/lhm, lib/lhm/throttler/time.rb).
    """

    rows: int
    sleep_s: float = 0.0

    async def between(self, rows: int, seconds: float, lag: Lag) -> None:
        await anyio.sleep(self.sleep_s)


@dataclass(slots=True)
class Duty:
    """A fixed setting as somebody would tune it by hand: so many rows, working this share of the time."""

    rows: int
    share: float

    async def between(self, rows: int, seconds: float, lag: Lag) -> None:
        await anyio.sleep(seconds * (1 / self.share - 1))


@dataclass(slots=True)
class GhOst:
    """gh-ost: github/gh-ost, go/logic/throttler.go and go/cmd/gh-ost/main.go.

    `--chunk-size` 1000, `--max-lag-millis` 1500, `--nice-ratio` 0; heartbeat every 100 ms, collected every 100 ms and
    looked at every 100 ms; while throttled it sleeps 250 ms at a time. Load limits (`--max-load`) are off by default.
    """

    rows: int = 1000
    max_lag_s: float = 1.5
    collect_s: float = 0.1
    throttled_sleep_s: float = 0.25
    _collected_at: float = float("-inf")
    _lag_s: float = 0.0

    async def between(self, rows: int, seconds: float, lag: Lag) -> None:
        while await self._throttled(lag):  # noqa: ASYNC110 - polling is the policy
            await anyio.sleep(self.throttled_sleep_s)
        await anyio.lowlevel.checkpoint()

    async def _throttled(self, lag: Lag) -> bool:
        if anyio.current_time() - self._collected_at >= self.collect_s:
            self._collected_at = anyio.current_time()
            self._lag_s = await lag()
        return self._lag_s > self.max_lag_s


@dataclass(slots=True)
class LhmReplicaLag:
    """Large Hadron Migrator, replica-lag throttler: Shopify/lhm, lib/lhm/throttler/replica_lag.rb.

    Stride 2000. After every stride it sleeps; the sleep doubles while the lag, in whole seconds, is above 10 s (up to
    102.4 s) and halves otherwise, down to 0.1 s, which it never goes below.
    """

    rows: int = 2000
    allowed_lag_s: int = 10
    initial_s: float = 0.1
    timeout_s: float = 0.1

    async def between(self, rows: int, seconds: float, lag: Lag) -> None:
        whole_seconds = int(await lag())
        if whole_seconds > self.allowed_lag_s and self.timeout_s < self.initial_s * 1024:
            self.timeout_s *= 2
        elif whole_seconds <= self.allowed_lag_s and self.timeout_s > self.initial_s:
            self.timeout_s /= 2
        await anyio.sleep(self.timeout_s)


@dataclass(slots=True)
class PtOsc:
    """pt-online-schema-change: percona/percona-toolkit, lib/WeightedAvgRate.pm and lib/ReplicaLagWaiter.pm.

    `--chunk-size` 1000 for the first chunk, then what the decaying average rate (weight 0.75) does in `--chunk-time`
    0.5 s; after each chunk it sleeps `--check-interval` 1 s for as long as the lag is above `--max-lag` 1 s.
    """

    rows: int = 1000
    chunk_time_s: float = 0.5
    weight: float = 0.75
    max_lag_s: float = 1.0
    check_interval_s: float = 1.0
    _rows_mean: float = 0.0
    _seconds_mean: float = 0.0

    async def between(self, rows: int, seconds: float, lag: Lag) -> None:
        self._rows_mean = self._rows_mean * self.weight + rows
        self._seconds_mean = self._seconds_mean * self.weight + seconds
        self.rows = max(1, int(self._rows_mean / self._seconds_mean * self.chunk_time_s))
        while await lag() > self.max_lag_s:  # noqa: ASYNC110 - polling is the policy
            await anyio.sleep(self.check_interval_s)


@dataclass(slots=True)
class GitLab:
    """GitLab's batched background migrations: gitlabhq/gitlabhq, lib/gitlab/database/background_migration/.

    Published: a job every 120 s (`BATCH_MIN_DELAY`), sub-batches with 100 ms between them (`pause_ms`), and an
    optimizer that, from the twentieth job on, sizes jobs to fill 0.90 to 0.95 of the interval (`TARGET_EFFICIENCY`).

    Scaled: the interval is 2 s instead of 120 s, because a run lasts seconds; and the optimizer is in its steady state
    from the start (each job fills 0.95 of its interval) instead of after twenty jobs, forty minutes, of 1000 rows. Both
    are in its favour, as is the sub-batch of 1000 rows that many of its migrations choose over the helper's 100.
    """

    rows: int = 1000
    pause_s: float = 0.1
    interval_s: float = 2.0
    efficiency: float = 0.95
    _job_began: float | None = None

    async def between(self, rows: int, seconds: float, lag: Lag) -> None:
        now = anyio.current_time()
        if self._job_began is None:
            self._job_began = now - seconds
        if now + self.pause_s - self._job_began < self.efficiency * self.interval_s:
            await anyio.sleep(self.pause_s)
            return
        await anyio.sleep(max(0.0, self._job_began + self.interval_s - now))
        self._job_began = anyio.current_time()


@dataclass(slots=True)
class Sequin:
    """Sequin's backfills: sequinstream/sequin, lib/sequin/runtime/page_size_optimizer.ex, table_reader_server.ex.

    First page 1000 rows, at most 40,000, budget 5 s a page; while the last page was 1.2 times faster than that, the
    next one is up to twice as large. No page of this race comes near the budget, so the search between the largest
    success and the smallest time-out, which follows a time-out, is never reached. Nothing looks at the standby.
    """

    rows: int = 1000
    max_rows: int = 40_000
    budget_s: float = 5.0

    async def between(self, rows: int, seconds: float, lag: Lag) -> None:
        ratio = self.budget_s / max(seconds, 0.001)
        wanted = rows * min(ratio, 2.0) if ratio > 1.2 else float(rows)
        self.rows = round(min(wanted, self.max_rows) / 100) * 100
        await anyio.lowlevel.checkpoint()


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender by policy. `note` goes into the table's legend."""

    title: str
    make: Callable[[], Policy]
    note: str = ""


POLICIES: dict[str, Entry] = {
    "fixed": Entry("1000 rows, no sleep; pgroll *", lambda: Fixed(1000), "batch size 1000, batch delay 0"),
    "fixed-sleep": Entry("5000 rows, 0.5 s sleep", lambda: Fixed(5000, 0.5)),
    "gh-ost": Entry("gh-ost *", GhOst, "1000 rows, stops above 1.5 s of lag"),
    "lhm-time": Entry("LHM, time *", lambda: Fixed(2000, 0.1), "2000 rows, 0.1 s"),
    "lhm-lag": Entry("LHM, replica lag *", LhmReplicaLag, "2000 rows, 0.1 s; longer above 10 s of lag"),
    "pt-osc": Entry("pt-online-schema-change *", PtOsc, "0.5 s a chunk, waits above 1 s of lag"),
    "gitlab": Entry("GitLab *, scaled", GitLab, "1000 rows, 0.1 s; interval 2 s for 120 s, optimizer settled"),
    "sequin": Entry("Sequin *", Sequin, "pages up to 40,000 rows, below 5 s"),
}
"""Starred titles are policy replicas."""

GRID: dict[str, Entry] = {
    f"grid-{rows}-{share:g}": Entry(f"{rows} rows, duty {share:g}", partial(Duty, rows, share))
    for rows, share in ((50, 1.0), (200, 0.4), (200, 1.0), (1000, 0.4), (1000, 0.85), (1000, 1.0))
}
"""What a person would try by hand on the processor-bound courses. 50 rows at 0.4 are left out, since 1000 rows are a
third faster there for half a millisecond; 0.85 is in, where a short pause costs the least for what it spares."""
