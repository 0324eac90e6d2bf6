"""What each replica is called: stable across reconnects, never the same for two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

UNNAMED = ("", "walreceiver")
"""What a standby reports that was given no name."""


@dataclass(frozen=True, slots=True)
class Walsender:
    """One row of pg_stat_replication that is a replica. What may not be read is None."""

    pid: int
    application_name: str
    slot: str | None
    address: str | None
    state: str | None
    replay_lsn: int | None
    flush_lsn: int | None

    @property
    def place(self) -> str:
        """What tells it from others of the same name."""
        return self.slot or self.address or f"pid {self.pid}"


class Names:
    """Remembers which names turned out to belong to several replicas."""

    def __init__(self) -> None:
        self._shared: set[str] = set()

    def assign(self, senders: Iterable[Walsender], expected: Collection[str]) -> dict[str, Walsender]:
        """The replicas by name: as `expected` has it, else application_name, else slot or address.

        Several with one application_name are `name/slot` or `name/address`, once and for all: a name that means one
        replica now and another one later would hide that either lags.
        """
        based = [(_base(sender, expected), sender) for sender in senders]
        counts = Counter(base for base, _ in based)
        self._shared.update(base for base, count in counts.items() if count > 1)
        named: dict[str, Walsender] = {}
        for base, sender in based:
            name = f"{base}/{sender.place}" if base in self._shared else base
            named[f"{name}/pid {sender.pid}" if name in named else name] = sender
        return named

    @property
    def shared(self) -> Collection[str]:
        """Names that are no replica's own."""
        return self._shared


def _base(sender: Walsender, expected: Collection[str]) -> str:
    if sender.slot is not None and sender.slot in expected:
        return sender.slot
    if sender.application_name in UNNAMED and sender.application_name not in expected:
        return sender.slot or sender.address or sender.application_name or f"pid {sender.pid}"
    return sender.application_name
