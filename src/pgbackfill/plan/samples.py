"""What sampled chunks cost. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cost:
    """What one chunk cost. `place` is where it began, 0 to 1; `seconds` the transaction without its commit; the WAL
    is that of the change alone."""

    place: float
    rows_asked: int
    rows_scanned: int
    rows_changed: int
    seconds: float
    wal_bytes: int
    wal_records: int
    page_images: int

    @property
    def row_s(self) -> float:
        return self.seconds / max(1, self.rows_scanned)


@dataclass(frozen=True, slots=True)
class Locking:
    """What locking rows writes before they are changed, beside the WAL of the change."""

    rows: int
    wal_bytes: int
    page_images: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """`overhead_s` is what a chunk takes beside its rows; `again` some chunks, each with the same once more, its pages
    all written before; `stopped` says why fewer places were sampled than wanted."""

    costs: list[Cost]
    overhead_s: float
    again: list[tuple[Cost, Cost]] = field(default_factory=list)
    locking: Locking | None = None
    stopped: str | None = None
