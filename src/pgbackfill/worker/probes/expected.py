"""Which replicas must be there: those that the settings name, those seen, and those whose slot waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pgbackfill.control.governor import Governor
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection

from .names import Walsender
from .notes import Notes

SLOTS_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Slot:
    """A permanent physical slot that keeps WAL for somebody."""

    name: str
    active: bool


async def read_slots(connection: Connection) -> list[Slot]:
    return [Slot(row["slot_name"], row["active"]) for row in await connection.fetch(load("signals")["physical_slots"])]


class Expected:
    """Keeps the governor's list. A slot that waits when work begins stands for a replica that is down just now.

    Dropping the slot says that the replica was taken away on purpose, and so does leaving it out of the settings
    when they are read again.
    """

    def __init__(self, governor: Governor, notes: Notes) -> None:
        self._governor = governor
        self._notes = notes
        self._configured: tuple[str, ...] | None = None
        self._waiting: set[str] = set()
        """Slots whose replica is missed under the slot's name."""
        self._names: dict[str, str] = {}
        """Names of replicas by slot."""
        self._working = False

    def configure(self, names: Iterable[str], *, present: Iterable[str], now: float) -> None:
        """The settings were read: expect these, and of the others those that are there."""
        self._configured = tuple(names)
        kept = {*self._configured, *present, *self._waiting}
        for gone in self._known(now) - kept:
            self._notes.clear("replica_lag", gone)
        self._governor.expect(kept, now=now)

    def senders(self, named: Mapping[str, Walsender]) -> None:
        """What streams now: whose slot it is."""
        for name, sender in named.items():
            if sender.slot is not None:
                self._names[sender.slot] = name
                if sender.slot in self._waiting and name != sender.slot:
                    self._stop_waiting(sender.slot)
                    self._governor.forget(sender.slot)

    def slots(self, slots: Iterable[Slot], ignored: Iterable[str], *, working: bool, now: float) -> None:
        """The slots that there are, looked at while a job runs: `working`."""
        present = {slot.name: slot for slot in slots}
        ignored = set(ignored)
        for name in [name for name in self._names if name not in present]:
            self._governor.forget(self._names.pop(name))
        for name in [name for name in self._waiting if name not in present or name in ignored]:
            self._stop_waiting(name)
            self._governor.forget(name)
        if working and not self._working:
            idle = {slot.name for slot in present.values() if not slot.active}
            for name in sorted(idle - ignored - self._names.keys()):
                self._waiting.add(name)
                sentence = (
                    f"Nothing streams from slot {name}: start its replica, drop it, or put it into ignored_slots."
                )
                self._notes.tell("replica_lag", sentence, about=name)
            self._governor.expect(self._known(now) | self._waiting, now=now)
        for name in [name for name in self._waiting if present[name].active]:
            self._stop_waiting(name)
            if name not in self._names:
                self._governor.forget(name)  # pg_receivewal or a backup tool: nobody reads from it
        self._working = working

    def _stop_waiting(self, slot: str) -> None:
        self._waiting.discard(slot)
        self._notes.clear("replica_lag", slot)

    def _known(self, now: float) -> set[str]:
        return {replica.name for replica in self._governor.replicas(now)}
