"""Failover by promotion: the primary dies, its standby takes over, a new standby is built; daemons know both places."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio

from pgbackfill.embedded import Binaries, Link, Server

from .courses import worker
from .fleet import Broken, Daemon, Fleet
from .heat import ALONE, SEVERAL, Heat, Standing
from .outcome import Outcome
from .stage import MAJOR, SETTINGS, Stage, prepared
from .wire import HOST, Wire

STANDBY = "chaos"
BEHIND_S = 0.4
"""For so long nothing has reached an asynchronous standby when the primary dies."""

SYNCHRONOUS = {"synchronous_standby_names": STANDBY}


class Places:
    """Two places of the daemons' DSN. Which server is at which changes; their ports do not."""

    def __init__(self, tasks: anyio.abc.TaskGroup, *, synchronous: bool) -> None:
        self.synchronous = synchronous
        self.wires = [Wire(None), Wire(None)]
        self.primary: Server
        self.standby: Server
        self.link: Link
        self._tasks = tasks
        self._at = 0
        """The place of the primary."""

    @property
    def way(self) -> str:
        """Both places; the primary is to be found."""
        ports = ",".join(str(wire.port) for wire in self.wires)
        return f"host={HOST},{HOST} port={ports} user={self.primary.user} dbname=chaos sslmode=disable"

    def dsn(self) -> str:
        """Directly to the primary of this moment."""
        return self.primary.dsn("chaos")

    async def start(self) -> None:
        """The first primary and its standby."""
        self.primary = await anyio.to_thread.run_sync(partial(Server.create, Binaries.find(MAJOR), SETTINGS))
        await prepared(self.primary)
        self.wires[0].target = self.primary.port
        await self.join()

    async def join(self) -> None:
        """Builds a new standby, at the place where the primary is not."""
        self.link = Link(self.primary.port)
        await self._tasks.start(self.link.run)
        build = partial(Server.standby, self.primary, STANDBY, conninfo_port=self.link.port)
        self.standby = await anyio.to_thread.run_sync(build)
        self.wires[1 - self._at].target = self.standby.port
        if self.synchronous:
            self.primary.configure(SYNCHRONOUS)
            self.primary.reload()

    async def fail_over(self) -> Server:
        """The primary dies, the standby is promoted; answers the dead one."""
        dead = self.primary
        await anyio.to_thread.run_sync(dead.stop, "immediate")
        # What the dead one has sent is replayed before the promotion; what it has not is gone.
        self.link.cut()
        await anyio.to_thread.run_sync(self.standby.promote)
        self.primary, self._at = self.standby, 1 - self._at
        return dead

    async def comes_back(self, dead: Server) -> None:
        """The dead server is started as what it was: two primaries, of which this one is the wrong one."""
        await anyio.to_thread.run_sync(dead.start)
        self.wires[1 - self._at].target = dead.port

    async def bury(self, dead: Server) -> None:
        wire = self.wires[1 - self._at]
        wire.target = None
        wire.cut()
        await anyio.to_thread.run_sync(dead.remove)

    async def remove(self) -> None:
        for server in (self.standby, self.primary):
            await anyio.to_thread.run_sync(server.remove)


@asynccontextmanager
async def _places(*, synchronous: bool) -> AsyncIterator[Places]:
    async with anyio.create_task_group() as tasks:
        places = Places(tasks, synchronous=synchronous)
        async with places.wires[0].running(), places.wires[1].running():
            await places.start()
            try:
                yield places
            finally:
                with anyio.CancelScope(shield=True):
                    await places.remove()
        tasks.cancel_scope.cancel()


async def course(outcome: Outcome, rounds: int, *, synchronous: bool) -> None:
    """Asynchronous: commits are lost, work and cursor together; by turns the dead primary comes back as a second one,
    and a daemon that slept through it all wakes with a claim that the new primary has never seen."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with _places(synchronous=synchronous) as places, Fleet.gathered(Path(folder)) as fleet:
            stage = Stage(places.dsn, places.primary, fleet, outcome, rounds, lambda: 0)
            commit = {"synchronous_commit": "on"} if synchronous else {}
            for _ in range(2):
                await fleet.start(places.way, **commit)

            async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
                if synchronous:
                    return await _synchronous(stage, places, heat)
                return await _asynchronous(stage, places, heat, commit)

            await stage.play((*ALONE, *SEVERAL[:1]), one)


async def _synchronous(stage: Stage, places: Places, heat: Heat) -> list[float]:
    await stage.moment()
    seen = sum(range_.chunk_no for range_ in await heat.standing())
    dead = await places.fail_over()
    since = time.monotonic()
    kept = sum(range_.chunk_no for range_ in await heat.standing())
    if kept < seen:
        raise Broken(f"{heat.job}: {seen - kept} chunks that could be seen are gone after a synchronous failover")
    await heat.agrees()
    took = await heat.goes_on(since)
    await places.bury(dead)
    await places.join()
    return [took]


async def _asynchronous(stage: Stage, places: Places, heat: Heat, commit: dict[str, str]) -> list[float] | None:
    turn = stage.outcome.rounds % 3
    places.link.rate = 0
    zombie = await _zombie(stage, heat) if turn == 1 and heat.shape.lanes == 1 else None
    await anyio.sleep(BEHIND_S)
    await stage.moment()
    before = sum(range_.chunk_no for range_ in await heat.standing())
    dead = await places.fail_over()
    since = time.monotonic()
    stage.outcome.notes["chunks lost with the primary"] += before - sum(r.chunk_no for r in await heat.standing())
    await heat.agrees()
    if turn == 2:
        await places.comes_back(dead)
        stage.outcome.notes["the dead primary came back"] += 1
    if zombie is not None:
        await stage.fleet.start(places.way, **commit)
    took = await heat.goes_on(since)
    if zombie is not None:
        await _wakes(stage, heat, zombie)
    await places.bury(dead)
    await places.join()
    return [took]


async def _zombie(stage: Stage, heat: Heat) -> Daemon | None:
    """A daemon that sleeps with a claim of which the standby knows nothing."""
    if (found := await worker(stage, heat)) is None:
        return None
    range_, first = found
    await first.killed()
    await heat.taken_over(range_, time.monotonic())
    if (found := await worker(stage, heat)) is None:
        return None
    zombie = found[1]
    zombie.send(signal.SIGSTOP)
    stage.outcome.notes["a zombie with a lost claim"] += 1
    return zombie


async def _wakes(stage: Stage, heat: Heat, zombie: Daemon) -> None:
    """Its epoch may have been issued a second time, its token never."""
    zombie.send(signal.SIGCONT)

    async def dropped() -> bool:
        return bool(zombie.events("lease lost")) or await heat.over()

    await heat.until(dropped, "the end of a lost claim")
    while len(stage.fleet.alive()) > 2:
        stage.fleet.alive()[0].kill()
