"""What the primary says about its cluster, for those who look at it from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .names import Walsender


@dataclass
class Topology:
    """Written by the poll of the primary, but for `asked`."""

    known: bool = False
    """Whether the primary has been asked yet."""
    system_identifier: int | None = None
    """None: may not be read."""
    senders: Mapping[str, Walsender] = field(default_factory=dict)
    """Streaming replicas by name."""
    asked: set[str] = field(default_factory=set)
    """Replicas that are asked directly: what they say counts, not what pg_stat_replication says."""

    def name_of(self, *, slot: str | None, application_name: str | None, address: str | None) -> str | None:
        """The streaming replica that has this slot, else this name, else this address; None where it is not unique."""
        for found in (
            [name for name, sender in self.senders.items() if slot and sender.slot == slot],
            [name for name, sender in self.senders.items() if application_name == sender.application_name],
            [name for name, sender in self.senders.items() if address and sender.address == address],
        ):
            if len(found) == 1:
                return found[0]
        return None
