"""Failover by promotion: the primary dies, its standby takes over, a new standby is built; daemons know both places."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle
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

COMMITS = {True: {"synchronous_commit": "on"}, False: {}}


Dead = tuple[Server, float]
"""The primary of before, and how long it took to go on."""


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
            self.primary.configure({"synchronous_standby_names": STANDBY})
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
        """The dead server is started as what it was: two primaries, of which this one is the wrong one.

        Whoever has a connection to the right one loses it, and has to choose.
        """
        await anyio.to_thread.run_sync(dead.start)
        self.wires[1 - self._at].target = dead.port
        self.wires[self._at].cut()

    def vanishes(self) -> None:
        """The dead server's host is gone: nobody there says that nobody listens."""
        self.wires[1 - self._at].freeze()

    async def bury(self, dead: Server) -> None:
        wire = self.wires[1 - self._at]
        wire.target = None
        wire.thaw()
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


Turn = Callable[[Stage, Places, Heat], Awaitable[Dead | None]]


async def course(outcome: Outcome, rounds: int, *, turns: Sequence[Turn], synchronous: bool = False) -> None:
    """Asynchronous: commits are lost, work and cursor together. Synchronous: nothing that could be seen is lost.

    What else happens is decided by turns.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with _places(synchronous=synchronous) as places, Fleet.gathered(Path(folder)) as fleet:
            stage = Stage(places.dsn, places.primary, fleet, outcome, rounds, lambda: 0)
            order = cycle(turns)

            async def join() -> None:
                while len(fleet.alive()) < 2:
                    # A host that vanished costs this much at each connect.
                    await fleet.start(places.way, connect_timeout_s="2", **COMMITS[synchronous])

            async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
                await join()
                if (dead := await next(order)(stage, places, heat)) is None:
                    return None
                server, took = dead
                await places.bury(server)
                await places.join()
                return [took]

            await join()
            await stage.play((*ALONE, *SEVERAL[:1]), one)


async def _fail_over(stage: Stage, places: Places, heat: Heat) -> Dead:
    """At a random moment. Whatever is lost, work and cursor are lost together."""
    await stage.moment()
    before = sum(range_.chunk_no for range_ in await heat.standing())
    dead = await places.fail_over()
    since = time.monotonic()
    lost = before - sum(range_.chunk_no for range_ in await heat.standing())
    await heat.agrees()
    if places.synchronous and lost > 0:
        raise Broken(f"{heat.job}: {lost} chunks that could be seen are gone after a synchronous failover")
    stage.outcome.notes["chunks lost with the primary"] += max(0, lost)
    return dead, since


async def plain(stage: Stage, places: Places, heat: Heat) -> Dead:
    dead, since = await _fail_over(stage, places, heat)
    return dead, await heat.goes_on(since)


async def host_vanishes(stage: Stage, places: Places, heat: Heat) -> Dead:
    dead, since = await _fail_over(stage, places, heat)
    places.vanishes()
    stage.outcome.notes["the dead primary's host vanished"] += 1
    return dead, await heat.goes_on(since)


async def _fall_behind(places: Places) -> None:
    places.link.rate = 0
    await anyio.sleep(BEHIND_S)


async def behind(stage: Stage, places: Places, heat: Heat) -> Dead:
    await _fall_behind(places)
    return await plain(stage, places, heat)


async def comes_back(stage: Stage, places: Places, heat: Heat) -> Dead:
    await _fall_behind(places)
    dead, took = await plain(stage, places, heat)
    await places.comes_back(dead)
    stage.outcome.notes["the dead primary came back"] += 1
    return dead, max(took, await heat.goes_on(time.monotonic()))


async def zombie_wakes(stage: Stage, places: Places, heat: Heat) -> Dead | None:
    """The zombie's epoch may have been issued a second time, its token never."""
    places.link.rate = 0
    if (zombie := await _zombie(stage, heat)) is None:
        places.link.rate = None
        return None
    dead, since = await _fail_over(stage, places, heat)
    await stage.fleet.start(places.way, connect_timeout_s="2", **COMMITS[False])
    took = await heat.goes_on(since)
    zombie.send(signal.SIGCONT)

    async def dropped() -> bool:
        return bool(zombie.events("lease lost")) or await heat.over()

    await heat.until(dropped, "the end of a claim that was lost")
    zombie.kill()
    stage.outcome.notes["a zombie woke with a lost claim"] += 1
    return dead, took


async def _zombie(stage: Stage, heat: Heat) -> Daemon | None:
    """A daemon that sleeps with a claim of which the standby knows nothing."""
    if len(await heat.standing()) > 1 or (found := await worker(stage, heat)) is None:
        return None
    range_, first = found
    await first.killed()
    await heat.taken_over(range_, time.monotonic())
    if (found := await worker(stage, heat)) is None:
        return None
    zombie = found[1]
    zombie.send(signal.SIGSTOP)
    return zombie


ASYNCHRONOUS: Sequence[Turn] = (behind, zombie_wakes, comes_back, host_vanishes)
SYNCHRONOUS: Sequence[Turn] = (plain, host_vanishes)
