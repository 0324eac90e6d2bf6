"""What is simulated: a TOML file, checked, with units in the names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pgbackfill.control.options import PacingOptions
from pgbackfill.errors import UsageError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

MIB = float(1 << 20)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Event(_Model):
    """From `at` on, for `for` seconds or for good, the values in `set` replace those of the table it stands in."""

    at: NotNegative
    for_s: Annotated[float, Field(gt=0)] = Field(default=float("inf"), alias="for")
    set: dict[str, float | bool]


class _Changing(_Model):
    events: tuple[Event, ...] = ()

    @model_validator(mode="after")
    def _known_names(self) -> _Changing:
        for event in self.events:
            for name, value in event.set.items():
                if name not in type(self).model_fields or name in ("events", "name"):
                    raise ValueError(f"an event sets {name}, which does not exist here")
                type(self).model_validate({**self.model_dump(exclude={"events"}), name: value})
        return self

    def at(self, now: float) -> dict[str, Any]:
        """The values that differ from the table's own at `now`."""
        changed: dict[str, Any] = {}
        for event in self.events:
            if event.at <= now < event.at + event.for_s:
                changed.update(event.set)
        return changed


class Primary(_Changing):
    """The server that is written to. Foreground load is given in cores and in WAL bytes per second."""

    cores: Positive = 4.0
    foreground_cores: NotNegative = 0.2
    foreground_wal_bytes_per_s: NotNegative = 0.0
    disk_bytes_per_s: Positive = 500 * MIB
    checkpoint_every_s: NotNegative = 0.0
    """0: none. After each, a page's first change writes the whole page."""
    checkpoint_wal_factor: Annotated[float, Field(ge=1)] = 1.0
    checkpoint_seconds: Positive = 10.0
    lock_conflict_ratio: Share = 0.0
    """Share of chunks that lose a fight for a lock and are rolled back."""
    canary_ms: Positive = 0.5
    """Latency of a one-row query without load; 0 polls of it where `sampling.canary` is false."""


class Job(_Changing):
    """The rows that are changed."""

    row_us: Positive = 4.0
    row_wal_bytes: NotNegative = 800.0
    changed_ratio: Share = 1.0
    overhead_ms: NotNegative = 1.5
    throttle_ratio: Annotated[float, Field(gt=0, le=1)] = 1.0
    lanes: Annotated[int, Field(ge=1, le=16)] = 1
    options: dict[str, Any] = {}

    @property
    def pacing(self) -> PacingOptions:
        return PacingOptions.model_validate(self.options)


class Replica(_Changing):
    """A network path and a server that replays; whichever is slower is the capacity."""

    name: str = "replica"
    capacity_bytes_per_s: NotNegative = 20 * MIB
    """0 while replay stands (a conflict, an outage of the link)."""
    transport_delay_s: NotNegative = 0.0
    apply_delay_s: NotNegative = 0.0
    flush_is_watched: bool = False
    """A delayed replica on the allow-list: what it has received counts, not what it has replayed."""
    connected: bool = True
    readable: bool = True
    """False: its state and positions read NULL."""
    frozen: bool = False
    """True: the same position is reported again and again."""
    credit_bytes: NotNegative = 0.0
    """Burst credits: above `baseline_bytes_per_s` they are used up, below it they come back. 0: no such thing."""
    baseline_bytes_per_s: NotNegative = 0.0


class Archive(_Model):
    """WAL archiving, as the signal `archive_backlog` in segments of 16 MiB."""

    capacity_bytes_per_s: Positive
    soft_segments: Positive = 20.0
    hard_segments: Positive = 42.0


class Sampling(_Model):
    """How signals are read."""

    interval_s: Annotated[float, Field(gt=0, le=30)] = 0.1
    delay_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    noise: Share = 0.0
    """Relative error of a replica's backlog, either way."""
    lost_ratio: Share = 0.0
    """Share of polls that fail."""
    canary: bool = False


class Daemons(_Model):
    """Several daemons on one primary; `same_database`: they know of each other's lanes."""

    count: Annotated[int, Field(ge=1, le=16)] = 1
    same_database: bool = True
    start_every_s: NotNegative = 0.0


class Scenario(_Model):
    """Everything; `seconds` of simulated time in steps of `step_s`."""

    name: str = "scenario"
    seed: int = 1
    seconds: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    step_s: Annotated[float, Field(ge=0.001, le=0.1)] = 0.02
    primary: Primary = Primary()
    job: Job = Job()
    replicas: tuple[Replica, ...] = ()
    archive: Archive | None = None
    sampling: Sampling = Sampling()
    daemons: Daemons = Daemons()

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        names = [replica.name for replica in self.replicas]
        if len(set(names)) != len(names):
            raise ValueError("two replicas have the same name")
        self.job.pacing  # noqa: B018 - raises where an option is wrong
        return self


def parse_scenario(text: str) -> Scenario:
    """Read a scenario from TOML. Raises `UsageError` with one sentence that names the place."""
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The scenario is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the scenario"
        raise UsageError(f"The scenario is wrong at {place}: {first['msg']}.") from error


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file; see `parse_scenario`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The scenario {path} cannot be read: {error}.") from error
    return parse_scenario(text)
