"""Which of the running jobs may run now; why the others may not is said once on entry and once on recovery."""

from __future__ import annotations

import re
from collections.abc import Iterable

import structlog

from pgbackfill.control.holds import quantity
from pgbackfill.database import jobs
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Job

from .context import Context
from .holds import kind_of

log = structlog.get_logger()

OUTSIDE = "outside_window"

_CONDITION = re.compile(r"\s*([a-z][a-z0-9_]*)\s*([<>])\s*(-?[\d.]+)\s*")


class Schedule:
    """Part of every look of the roster. A job that may not run now keeps its status; its lanes give their ranges back
    at the next chunk boundary, so that it takes up neither a connection nor one of the daemon's places."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: dict[str, str] = {}
        """Names of jobs and why they wait."""
        self._written: dict[int, str | None] = {}
        """By id of the job, what this daemon has written about signals, because the database cannot know it."""

    async def allowed(self, control: Connection, running: Iterable[Job]) -> list[Job]:
        """Those that may run."""
        found = []
        waiting = {}
        for job in running:
            reason = job.waits_for or self._signals(job)
            if job.only_while and job.waits_for is None and self._written.get(job.id, "") != reason:
                await jobs.set_wait_reason(control, job.id, reason)
                self._written[job.id] = reason
            if reason is None or job.desired_state != "run":
                found.append(job)
            else:
                waiting[job.name] = reason
        self._tell(waiting)
        return found

    def _signals(self, job: Job) -> str | None:
        """The first condition on a signal that does not hold; a value that nobody knows fulfils none."""
        if not job.only_while:
            return None
        now = self._context.governor.signals(self._context.now())
        for condition in job.only_while:
            match = _CONDITION.fullmatch(condition)
            assert match is not None, "checked at INSERT"
            name, sign, limit = match[1], match[2], float(match[3])
            values = [signal for signal in now if signal.name == name]
            if not values:
                return f"{OUTSIDE} {name} is no signal of this daemon"
            for signal in values:
                if signal.value is None or signal.level == "unknown":
                    return f"{OUTSIDE} {name} unknown"
                if not (signal.value < limit if sign == "<" else signal.value > limit):
                    value = quantity(signal.value, signal.unit)
                    return f"{OUTSIDE} {name} {value}, runs while {sign} {quantity(limit, signal.unit)}"
        return None

    def _tell(self, waiting: dict[str, str]) -> None:
        before, self._waiting = self._waiting, waiting
        for name in before.keys() | waiting.keys():
            old, new = before.get(name), waiting.get(name)
            self._context.metrics.hold(name, new)  # again and again: a lane that ends takes its own holds away
            if new is None:
                log.info("hold ended", job=name, reason=old)
            elif kind_of(old) != kind_of(new):
                log.info("held", job=name, reason=new)
