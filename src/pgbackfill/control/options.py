"""Pacing options: the settings of a daemon, each of which a job may override for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MIB = 1 << 20

Milliseconds = Annotated[int, Field(json_schema_extra={"unit": "ms"})]
Seconds = Annotated[float, Field(json_schema_extra={"unit": "s"})]
Rows = Annotated[int, Field(json_schema_extra={"unit": "rows"})]
Bytes = Annotated[int, Field(json_schema_extra={"unit": "bytes"})]
Ratio = Annotated[float, Field(json_schema_extra={"unit": "ratio"})]
Lanes = Annotated[int, Field(json_schema_extra={"unit": "lanes"})]
Calls = Annotated[int, Field(json_schema_extra={"unit": "calls"})]

PARALLELISM_MAX = 64
"""A lane is a connection, of which a server has 100 by default; and at 0.1 s a chunk, 64 lanes are what one Python
process can serve (some 1 ms of its time each)."""


ORDERED = (
    ("chunk_min_rows", "chunk_max_rows"),
    ("lag_soft_s", "lag_hard_s"),
    ("latency_soft_ratio", "latency_hard_ratio"),
)
"""Options of which the first must not be above the second."""


class PacingOptions(BaseModel):
    """Every pacing and safety option with its unit, range and default.

    The same ranges are checked in SQL when a job is inserted (`pgbackfill.option_ranges`); a test compares the two.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunk_target_ms: Milliseconds = Field(default=100, ge=1, le=60_000, description="time that one chunk should take")
    chunk_min_rows: Rows = Field(default=1, ge=1, le=1_000_000, description="smallest chunk; failures may go below it")
    chunk_max_rows: Rows = Field(
        default=50_000,
        ge=1,
        le=1_000_000,
        description="largest chunk; it may look at 16 times as many rows where hardly one needs a change",
    )
    chunk_max_wal_bytes: Bytes = Field(
        default=8 * MIB, ge=8192, le=1 << 40, description="most WAL that one chunk should write"
    )
    lag_soft_s: Seconds = Field(default=1, gt=0, le=86_400, description="replica lag above which the pace is lowered")
    lag_hard_s: Seconds = Field(default=5, gt=0, le=86_400, description="replica lag above which the job is held")
    queue_target_s: Seconds = Field(
        default=0.2, gt=0, le=3_600, description="standing replication queue that is aimed at"
    )
    latency_soft_ratio: Ratio = Field(
        default=1.5, gt=1, le=1_000, description="canary latency over its baseline: slow down"
    )
    latency_hard_ratio: Ratio = Field(default=3, gt=1, le=1_000, description="canary latency over its baseline: hold")
    latency_slack_ms: Milliseconds = Field(
        default=2, ge=0, le=60_000, description="less than this above the baseline is never a reason to slow down"
    )
    duty_max: Ratio = Field(default=1.0, gt=0, le=1, description="largest share of the time spent in chunks")
    max_wal_bytes_per_s: Bytes | None = Field(
        default=None, ge=1, le=1 << 50, description="limit on the WAL of all chunks"
    )
    max_rows_per_s: Rows | None = Field(default=None, ge=1, le=1 << 50, description="limit on the rows scanned")
    lock_timeout_ms: Milliseconds = Field(
        default=100, ge=1, le=60_000, description="longest wait for a lock inside a chunk"
    )
    statement_timeout_ms: Milliseconds = Field(
        default=5_000, ge=10, le=3_600_000, description="longest statement of a chunk"
    )
    synchronous_commit: Literal["off", "local", "remote_write", "on", "remote_apply"] = Field(
        default="off",
        description="whether a chunk waits for its commit to be on disk; a crash takes work and cursor back together",
    )
    throughput_floor_ratio: Ratio = Field(
        default=0.1,
        ge=0,
        le=1,
        description="below this share of its best rate a job pauses itself; 0: never",
    )
    # As long as the longest ordinary disturbance: a checkpoint at its default time-out.
    throughput_floor_s: Seconds = Field(
        default=300, gt=0, le=86_400, description="for so long, counted in time spent in chunks"
    )
    max_quarantined: Rows = Field(default=100, ge=0, le=1_000_000_000, description="more quarantined rows fail the job")
    parallelism: Lanes = Field(
        default=1, ge=1, le=PARALLELISM_MAX, description="lanes of one daemon that work on the job at the same time"
    )
    verify: Literal["off", "check", "repair"] = Field(
        default="off", description="whether every row is looked at again after the last chunk, and mended where wrong"
    )

    handler_batch_rows: Rows = Field(default=1, ge=1, le=10_000, description="rows that one call of a handler gets")
    handler_concurrency: Calls = Field(
        default=20, ge=1, le=1_000, description="calls of a handler at the same time, in each lane"
    )
    handler_timeout_s: Seconds = Field(
        default=30, gt=0, le=3_600, description="longest call of a handler; it is cancelled then"
    )

    @model_validator(mode="after")
    def _soft_below_hard(self) -> Self:
        for low, high in ORDERED:
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} ({getattr(self, low)}) must not be above {high} ({getattr(self, high)})")
        return self

    def with_own(self, own: Mapping[str, Any]) -> Self:
        """These with a job's own options on top; None means no option.

        A job knows nothing of the settings of the process that runs it. Where the two contradict each other, the limit
        holds: `lag_soft_s` 4 beside a setting `lag_hard_s` 3 becomes 3.
        """
        values = self.model_dump() | {name: value for name, value in own.items() if value is not None}
        for low, high in ORDERED:
            values[low] = min(values[low], values[high])
        return self.model_validate(values)
