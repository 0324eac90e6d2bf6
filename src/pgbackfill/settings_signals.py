"""Limits of the signals that are no queues: `PGBACKFILL_SIGNALS__<NAME>__SOFT`, HARD, INTERVAL_S, ENABLED."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

GIB = float(1 << 30)
MOST_BYTES = float(1 << 60)
MOST_NUMBER = 1e18

Limit = Annotated[float | None, BeforeValidator(lambda value: None if value == "none" else value)]
"""A number, or none: no limit."""

_CONFIG = ConfigDict(frozen=True, extra="forbid")
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def _unit(unit: str) -> dict[str, Any]:
    return {"unit": unit}


class Threshold(BaseModel):
    """Whether a signal is watched, how often, and its two limits: beyond soft slow down, beyond hard hold."""

    model_config = _CONFIG

    enabled: bool = Field(True, description="whether the signal is watched")
    soft: Limit = None
    hard: Limit = None
    interval_s: float = Field(5, ge=0.5, le=3_600, json_schema_extra=_unit("s"), description="time between two polls")

    @model_validator(mode="after")
    def _soft_below_hard(self) -> Self:
        if self.soft is not None and self.hard is not None and self.soft > self.hard:
            raise ValueError(f"soft ({self.soft:g}) must not be above hard ({self.hard:g})")
        return self


class SlotWalUsed(Threshold):
    soft: Limit = Field(50, ge=0, le=100, json_schema_extra=_unit("%"))
    hard: Limit = Field(80, ge=0, le=100, json_schema_extra=_unit("%"))


class SlotRetained(Threshold):
    soft: Limit = Field(8 * GIB, ge=0, le=MOST_BYTES, json_schema_extra=_unit("bytes"))
    hard: Limit = Field(32 * GIB, ge=0, le=MOST_BYTES, json_schema_extra=_unit("bytes"))


class LogicalLag(Threshold):
    soft: Limit = Field(1 * GIB, ge=0, le=MOST_BYTES, json_schema_extra=_unit("bytes"))
    hard: Limit = Field(8 * GIB, ge=0, le=MOST_BYTES, json_schema_extra=_unit("bytes"))
    interval_s: float = Field(2, ge=0.5, le=3_600, json_schema_extra=_unit("s"))


class ArchiveBacklog(Threshold):
    soft: Limit = Field(21, ge=0, le=1e9, json_schema_extra=_unit("segments"))
    hard: Limit = Field(42, ge=0, le=1e9, json_schema_extra=_unit("segments"))


class RequestedCheckpoints(Threshold):
    soft: Limit = Field(30, ge=0, le=1e6, json_schema_extra=_unit("in 5 minutes"))
    hard: Limit = Field(None, ge=0, le=1e6, json_schema_extra=_unit("in 5 minutes"))


class Autovacuum(Threshold):
    soft: Limit = Field(60, ge=0, le=1e6, json_schema_extra=_unit("s"))
    hard: Limit = Field(None, ge=0, le=1e6, json_schema_extra=_unit("s"))


class DeadTuples(Threshold):
    soft: Limit = Field(200, ge=0, le=1e9, json_schema_extra=_unit("%"))
    hard: Limit = Field(None, ge=0, le=1e9, json_schema_extra=_unit("%"))
    interval_s: float = Field(10, ge=0.5, le=3_600, json_schema_extra=_unit("s"))


class Connections(Threshold):
    soft: Limit = Field(90, ge=0, le=100, json_schema_extra=_unit("%"))
    hard: Limit = Field(98, ge=0, le=100, json_schema_extra=_unit("%"))


class OldestTransaction(Threshold):
    soft: Limit = Field(1_800, ge=0, le=1e9, json_schema_extra=_unit("s"))
    hard: Limit = Field(None, ge=0, le=1e9, json_schema_extra=_unit("s"))


class SignalSettings(BaseModel):
    """The built-in signals with thresholds of their own."""

    model_config = _CONFIG

    slot_wal_used: SlotWalUsed = SlotWalUsed()
    slot_retained: SlotRetained = SlotRetained()
    logical_lag: LogicalLag = LogicalLag()
    archive_backlog: ArchiveBacklog = ArchiveBacklog()
    requested_checkpoints: RequestedCheckpoints = RequestedCheckpoints()
    autovacuum: Autovacuum = Autovacuum()
    dead_tuples: DeadTuples = DeadTuples()
    connections: Connections = Connections()
    oldest_transaction: OldestTransaction = OldestTransaction()


TAKEN = {*SignalSettings.model_fields, "replica_lag", "canary_write", "canary_read", "wal"}


class UserSignal(BaseModel):
    """A signal that a user defines. `hard` below `soft` means that small values are the bad ones."""

    model_config = _CONFIG

    name: str = Field(description="what it is called everywhere")
    soft: Limit = Field(None, ge=-MOST_NUMBER, le=MOST_NUMBER, description="slow down beyond it")
    hard: Limit = Field(None, ge=-MOST_NUMBER, le=MOST_NUMBER, description="hold beyond it")
    unit: str = Field("", max_length=20, description="printed behind the value; B prints bytes as KiB, MiB, GiB")
    interval_s: float = Field(5, ge=0.5, le=3_600, json_schema_extra=_unit("s"), description="time between two polls")
    timeout_s: float = Field(2, ge=0.05, le=60, json_schema_extra=_unit("s"), description="longest time for one poll")
    enabled: bool = Field(True, description="whether the signal is watched")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not NAME.fullmatch(self.name) or self.name in TAKEN:
            why = "is the name of a built-in signal" if self.name in TAKEN else "must match [a-z][a-z0-9_]*"
            raise ValueError(f"name {self.name!r} {why}")
        if self.soft is None and self.hard is not None:
            raise ValueError(f"signal {self.name} has a hard limit and no soft one; give it soft as well")
        return self


class CustomSql(UserSignal):
    """A query that answers one row: the value, and if it likes a second column that says what it is about."""

    sql: str = Field(min_length=1, description="runs read-only, on a connection of its own")


class Promql(UserSignal):
    """A query to a server that speaks Prometheus's HTTP interface; of several series the worst counts."""

    url: SecretStr = Field(description="of the server, without /api/v1/query; may carry user:password@")
    query: str = Field(min_length=1, description="an instant query")
    token_file: Path | None = Field(None, description="file that holds a bearer token; read at each poll")

    @model_validator(mode="after")
    def _http(self) -> Self:
        if not re.match(r"https?://[^/]", self.url.get_secret_value()):
            raise ValueError(f"url of signal {self.name} must begin with http:// or https:// and name a host")
        return self
