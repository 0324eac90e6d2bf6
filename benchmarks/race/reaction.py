"""How soon the daemon lowers its pace when the standby falls behind: by what it shows of both. The judging is pure."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import httpx

from .schedule import Schedule

POLL_S = 0.1
"""Of the daemon: how often it looks at its replicas."""

LOOK_S = 0.025
"""Of ours: four looks a poll. A look costs the daemon some 2 ms, so it is watched around the step alone."""

BEFORE_S, AFTER_S = 1.0, 1.5

STEP_S = 0.1
"""A lag this far above the largest of before is a step: half of the queue that stands anyhow."""

LOWER = 0.9
"""Below this part of the lowest pace of before, the pace is lower."""

_LAG = re.compile(r"^pgbackfill_replica_lag_seconds\{[^}]*\} (\S+)$", re.MULTILINE)
_PACE = re.compile(r"^pgbackfill_pace_wal_bytes_per_second (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Look:
    """`at` in seconds since the start; `lag_s` as the daemon has it, `pace` in bytes of WAL a second."""

    at: float
    lag_s: float
    pace: float


def slowdown(schedule: Schedule | None) -> float | None:
    """When the link first becomes slower without standing still; None where it never does."""
    steps = schedule.steps if schedule else ()
    pairs = itertools.pairwise(steps)
    return next((later.at_s for before, later in pairs if 0 < later.rate < before.rate), None)


async def look(port: int, began: float, at_s: float, looks: list[Look]) -> None:
    """Adds what the daemon shows around `at_s` seconds after `began`, in Unix time."""
    await anyio.sleep(max(0.0, began + at_s - BEFORE_S - time.time()))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while time.time() < began + at_s + AFTER_S:
            text = (await client.get("/metrics")).text
            lag, pace = _LAG.search(text), _PACE.search(text)
            if lag and pace:
                looks.append(Look(time.time() - began, float(lag[1]), float(pace[1])))
            await anyio.sleep(LOOK_S)


def reaction_s(looks: Sequence[Look], step_at: float) -> float | None:
    """Seconds from the first look that shows the lag's step to the first that shows a lower pace; 0: not after it.

    None where there was no step, or nobody lowered the pace.
    """
    before = [one for one in looks if one.at < step_at]
    if not before:
        return None
    usual_lag, usual_pace = max(one.lag_s for one in before), min(one.pace for one in before)
    after = [one for one in looks if one.at >= step_at]
    stepped = next((one.at for one in after if one.lag_s > usual_lag + STEP_S), None)
    lower = next((one.at for one in after if one.pace < LOWER * usual_pace), None)
    return None if stepped is None or lower is None else max(0.0, lower - stepped)
