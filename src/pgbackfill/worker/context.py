"""What the tasks of one daemon share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from pgbackfill.control.governor import Governor
from pgbackfill.database.cluster import Cluster
from pgbackfill.database.link import Link
from pgbackfill.database.types import Connection
from pgbackfill.handlers.registry import Handlers
from pgbackfill.jobs.job import Job
from pgbackfill.metrics import Metrics
from pgbackfill.settings import Settings

from .bell import Bell
from .history import History
from .pauses import Pauses
from .probes.beats import Beats
from .probes.notes import Notes
from .probes.topology import Topology
from .throttle import Throttle

if TYPE_CHECKING:
    from .lane import Lane


@dataclass
class Context:
    """One per process; passed to every task, changed only by the one named beside each field."""

    settings: Settings  # daemon, on SIGHUP
    governor: Governor  # monitor
    metrics: Metrics
    control: Link
    """pgbackfill's own tables: roster, heartbeat, HTTP."""
    connect_work: Callable[[], Awaitable[Connection]]
    """Opens a connection that runs chunks."""
    cluster: Cluster = field(default_factory=Cluster)
    """What every connection to the primary is held against."""
    handlers: Handlers = field(default_factory=Handlers)
    """Those of this process; jobs of others are left to other daemons."""
    bell: Bell = field(default_factory=Bell)
    """Rung on every change that a sleeper should look at: NOTIFY, pause, resume, stop."""
    worker_id: int = 0  # heartbeat
    jobs: dict[int, Job] = field(default_factory=dict)  # roster: every running job
    lanes: dict[int, Lane] = field(default_factory=dict)  # roster: by range id
    lanes_of_others: int = 0  # heartbeat
    worked_on: dict[int, str] = field(default_factory=dict)  # roster: names by id, for the exit code
    notes: Notes = field(default_factory=Notes)  # probes
    topology: Topology = field(default_factory=Topology)  # probes
    beats: Beats = field(default_factory=Beats)  # heartbeat
    shown: set[str] = field(default_factory=set)  # progress: names of all jobs that people can see
    history: History = field(default_factory=History)  # progress
    stopping: bool = False  # stop()
    pauses: Pauses = field(init=False)
    throttle: Throttle = field(init=False)

    def __post_init__(self) -> None:
        self.pauses = Pauses(self.bell.ring)
        self.throttle = Throttle(self.bell.ring)

    def stop(self) -> None:
        """Finish the chunks that run, release the leases, end. A second call cancels the chunks."""
        if self.stopping:
            for lane in self.lanes.values():
                lane.cancel_chunk()
        self.stopping = True
        self.bell.ring()

    def divide(self) -> None:
        """The daemons of a database share its capacity by their live lanes; called when those have changed."""
        self.governor.set_lanes(self.lanes_of_others + len(self.lanes), len(self.lanes))

    def now(self) -> float:
        """The clock of every decision: monotonic seconds."""
        return anyio.current_time()
