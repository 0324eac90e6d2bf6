"""One run: a fresh table, the foreground, the contender, and every 20 ms where both servers stand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import asyncpg

from .contenders import Outcome, ready
from .courses import NOBODY, Course
from .foreground import FLUSH_S, Foreground, Traffic, Transaction, traffic
from .lag import Sample
from .schedule import Schedule
from .stage import Stage

SAMPLE_S = 0.02
HEARTBEAT_S = 0.1
CONNECT_S = 0.3
"""For pgbench's connections."""

WARM_UP_S = 2.0
"""Foreground before the start: caches are warm, and the daemon has seen two of its one-second canaries."""


@dataclass(frozen=True, slots=True)
class Run:
    """All times are Unix times. `replayed` is when the standby had everything that was written until the end."""

    course: Course
    contender: str
    began: float
    replayed: float
    outcome: Outcome
    samples: list[Sample]
    transactions: list[Transaction]

    @property
    def ended(self) -> float:
        return self.outcome.ended

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Recorder:
    """Looks at both servers until cancelled."""

    def __init__(self, stage: Stage) -> None:
        self.samples: list[Sample] = []
        self._stage = stage

    async def run(self) -> None:
        while True:
            # The standby first: what it has replayed, the primary had written.
            replayed = await self._stage.replayed()
            written = await self._stage.written()
            self.samples.append(Sample(time.time(), max(written, replayed), replayed))
            await anyio.sleep(SAMPLE_S)

    async def replayed(self, at: float) -> float:
        """When the standby had all that was written by `at`."""
        await self._until(lambda sample: sample.at >= at)
        position = next(sample.written for sample in self.samples if sample.at >= at)
        await self._until(lambda sample: sample.replayed >= position)
        return next(sample.at for sample in self.samples if sample.replayed >= position)

    async def _until(self, condition: Callable[[Sample], bool]) -> None:
        while not condition(self.samples[-1]):  # noqa: ASYNC110 - samples come by the clock
            await anyio.sleep(SAMPLE_S)


async def beat(connection: asyncpg.Connection) -> None:
    """The heartbeat row by which the policies see the lag; in every run alike."""
    while True:
        await connection.execute("UPDATE heartbeat SET at = clock_timestamp()")
        await anyio.sleep(HEARTBEAT_S)


async def follow(schedule: Schedule | None, stage: Stage) -> None:
    """Sets the link's rate as the course has it, from now on."""
    began = anyio.current_time()
    for step in schedule.steps if schedule else ():
        await anyio.sleep_until(began + step.at_s)
        stage.link.rate = step.rate


async def surge(plan: Foreground, running: Traffic, most: float) -> None:
    """The foreground's busy time."""
    if plan.surge is not None:
        await anyio.sleep(plan.surge.at_s)
        await running.start(plan, plan.surge.rate * most, plan.surge.seconds)


async def one_run(stage: Stage, course: Course, contender: str, most: float) -> Run:
    """Runs and verifies. `most` is how many transactions a second the machine can do; 1 where rates are absolute.

    Raises WrongResult when a row was changed twice, or not although the contender says so.
    """
    await stage.fresh()
    recorder = Recorder(stage)
    plan = course.foreground
    async with stage.connected("postgres") as pulse, traffic(stage.dsn, course.rows) as running:
        # Before the daemon, whose first look at the foreground's latency is what it takes for usual.
        await running.start(plan, plan.rate * most)
        await anyio.sleep(CONNECT_S)
        async with ready(contender, stage, course) as work, anyio.create_task_group() as tasks:
            tasks.start_soon(beat, pulse)
            tasks.start_soon(recorder.run)
            stage.link.rate = course.schedule.steps[0].rate if course.schedule else None
            await anyio.sleep(WARM_UP_S)
            began = time.time()
            tasks.start_soon(follow, course.schedule, stage)
            tasks.start_soon(surge, plan, running, most)
            outcome = await work(course.limit_s)
            replayed = await recorder.replayed(outcome.ended)
            await anyio.sleep(max(0.0, outcome.ended + FLUSH_S - time.time()))
            await running.stop()
            transactions = running.transactions(began, outcome.ended)
            tasks.cancel_scope.cancel()
    stage.link.rate = None
    await stage.check(course.column, course.rows, 0 if contender == NOBODY else outcome.rows)
    return Run(course, contender, began, replayed, outcome, recorder.samples, transactions)
