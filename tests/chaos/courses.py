"""The courses on one primary: what is done to daemons and connections, round by round."""

from __future__ import annotations

import signal
import time

import anyio

from .fleet import LEASE_S, Daemon
from .heat import ALONE, SEVERAL, Heat, Standing
from .stage import Stage
from .wire import Trap

STATEMENTS = 9
"""More than a chunk has, so that its COMMIT is struck as well."""

DOWN_S = 1.0
TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE $1"
)


async def _join(stage: Stage) -> Daemon:
    """One more daemon, on a wire of its own."""
    return await stage.fleet.start(stage.way(), target=stage.port())


async def _gather(stage: Stage, daemons: int) -> None:
    while len(stage.fleet.alive()) < daemons:
        await _join(stage)


async def worker(stage: Stage, heat: Heat) -> tuple[Standing, Daemon] | None:
    """Of a job with one range: where that stands at a random moment, and who has it."""
    await stage.moment()
    found: tuple[Standing, Daemon] | None = None

    async def look() -> bool:
        nonlocal found
        for range_ in await heat.standing():
            daemon = stage.fleet.of(range_.worker_id)
            if range_.status == "open" and daemon is not None:
                found = range_, daemon
        return found is not None or await heat.over()

    await heat.until(look, "a daemon at work")
    return found


async def kill(stage: Stage) -> None:
    """SIGKILL at a random moment; another daemon takes over when the lease has run out."""
    await _gather(stage, 2)

    async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
        if (found := await worker(stage, heat)) is None:
            return None
        range_, victim = found
        since = time.monotonic()
        await victim.killed()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_join, stage)
            return [await heat.taken_over(range_, since)]

    await stage.play(ALONE, one)


async def kill_lanes(stage: Stage) -> None:
    """SIGKILL at a random moment of one of several daemons that share a job of eight ranges."""
    await _gather(stage, 3)

    async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
        await stage.moment()
        await stage.chance.choice(stage.fleet.alive()).killed()
        await _join(stage)
        return []

    await stage.play(SEVERAL, one)


async def kill_statement(stage: Stage) -> None:
    """SIGKILL before a statement of a chunk, or after it and before its answer: each of them in turn."""
    survivor = await _join(stage)
    victims = [daemon for daemon in stage.fleet.alive() if daemon is not survivor]

    async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
        if not victims:
            victims.append(await _join(stage))
        (victim,) = victims
        wire = victim.wire
        assert wire is not None
        trap = _trap(stage)
        trap.act = victim.kill
        wire.set(trap)
        if not await _struck(stage, heat, victim, trap):
            return None
        victims.clear()
        return []

    await stage.play(SEVERAL, one)


async def terminate(stage: Stage) -> None:
    """pg_terminate_backend of the chunk's backend at a random moment, every third time of all backends."""
    await _gather(stage, 1)

    async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
        await stage.moment()
        since = time.monotonic()
        await heat.ask(TERMINATE, "pgbackfill/%" if stage.outcome.rounds % 3 == 2 else "pgbackfill/work")
        return [await heat.goes_on(since)]

    await stage.play(ALONE, one)


async def restart(stage: Stage) -> None:
    """The server stops at once, as in a crash, and comes back after up to a second."""
    await _gather(stage, 2)

    async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
        await stage.moment()
        await anyio.to_thread.run_sync(stage.server.stop, "immediate")
        await stage.moment(DOWN_S)
        await anyio.to_thread.run_sync(stage.server.start)
        since = time.monotonic()
        await heat.agrees()
        return [await heat.goes_on(since)]

    await stage.play((*ALONE, *SEVERAL), one)


async def doubt(stage: Stage) -> None:
    """The connection is lost in the middle of COMMIT: before it reaches the server, or after, without the answer."""
    await _cut_at(stage, only_commit=True)


async def cut(stage: Stage) -> None:
    """The connection is lost before a statement of a chunk or before its answer: each of them in turn."""
    await _cut_at(stage, only_commit=False)


async def _cut_at(stage: Stage, *, only_commit: bool) -> None:
    daemon = await _join(stage)

    async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
        assert daemon.wire is not None
        trap = _trap(stage)
        if only_commit:
            trap.request = STATEMENTS
        daemon.wire.set(trap)
        if not await _struck(stage, heat, daemon, trap):
            return None
        return [await heat.goes_on(time.monotonic())]

    await stage.play(ALONE, one)


def _trap(stage: Stage) -> Trap:
    """The next boundary in turn, in one of the next chunks."""
    return Trap(
        chunks=stage.chance.randint(0, 3),
        request=stage.outcome.rounds // 2 % STATEMENTS,
        after=stage.outcome.rounds % 2 == 1,
    )


async def _struck(stage: Stage, heat: Heat, daemon: Daemon, trap: Trap) -> bool:
    """Waits for it; False where the job is over first."""
    wire = daemon.wire
    assert wire is not None

    async def look() -> bool:
        return wire.struck.is_set() or await heat.over()

    await heat.until(look, "the boundary")
    if trap.struck is None:
        wire.trap = None
        return False
    await wire.struck.wait()
    stage.outcome.notes[f"{trap.struck}, {'answer' if trap.after else 'request'} lost"] += 1
    return True


async def half_open(stage: Stage) -> None:
    """A network that forwards nothing and closes nothing: for a while, until it is cut, or for ever."""
    # Who is cut off for ever needs up to 35 s to be of use again (docs/connecting.md): two of them at a time, one that
    # was just frozen, and one to take over.
    await _gather(stage, 4)
    turns = 0

    async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
        nonlocal turns
        if (found := await worker(stage, heat)) is None:
            return None
        range_, daemon = found
        wire = daemon.wire
        assert wire is not None
        since = time.monotonic()
        wire.freeze()
        took = await heat.taken_over(range_, since)
        await stage.moment(1)
        turns += 1
        match turns % 3:
            case 1:
                wire.thaw()
            case 2:
                wire.cut()
                wire.thaw()
            case _:
                wire.forget()
        return [took]

    await stage.play(ALONE, one)


async def zombies(stage: Stage) -> None:
    """SIGSTOP of whoever works, at a random moment; it wakes after its lease, when another has the range."""
    await _gather(stage, 2)

    async def one(heat: Heat, _: list[Standing]) -> list[float] | None:
        if (found := await worker(stage, heat)) is None:
            return None
        range_, zombie = found
        since = time.monotonic()
        zombie.send(signal.SIGSTOP)
        try:
            took = await heat.taken_over(range_, since)
            await stage.moment(1)
        finally:
            zombie.send(signal.SIGCONT)
        return [took]

    await stage.play(ALONE, one, rounds=(stage.rounds + 1) // 2)
    await _gather(stage, 4)

    async def crowd(heat: Heat, _: list[Standing]) -> list[float] | None:
        await stage.moment()
        asleep = stage.chance.sample(stage.fleet.alive(), 2)
        for zombie in asleep:
            zombie.send(signal.SIGSTOP)
        await anyio.sleep(LEASE_S)
        await stage.moment(3)
        for zombie in asleep:
            zombie.send(signal.SIGCONT)
        return []

    await stage.play(SEVERAL, crowd, rounds=stage.rounds // 2)
