"""Memory and processor time of a running process, from /proc; so on Linux only."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import anyio

SAMPLE_S = 0.2
"""Between two samples: a few readings even in the shortest run, and next to no load."""


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """`at` is Unix time in seconds; `cpu_seconds` user and system time since the process started."""

    at: float
    resident_bytes: int
    cpu_seconds: float


def read(pid: int) -> ProcessSample | None:
    """None when the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        # The command's name, in parentheses, may contain spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    resident = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    if not resident:  # a zombie has no memory
        return None
    ticks = int(fields[11]) + int(fields[12])
    return ProcessSample(time.time(), int(resident[0]) * 1024, ticks / os.sysconf("SC_CLK_TCK"))


def open_files(pid: int) -> int:
    """How many file descriptors a running process has: files, sockets, pipes."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@dataclass(slots=True)
class Watch:
    """Samples of one process for as long as it lives."""

    samples: list[ProcessSample] = field(default_factory=list)

    async def run(self, pid: int) -> None:
        """Returns when the process is gone."""
        while (sample := read(pid)) is not None:
            self.samples.append(sample)
            await anyio.sleep(SAMPLE_S)

    def between(self, start: float, end: float) -> list[ProcessSample]:
        return [sample for sample in self.samples if start <= sample.at <= end]


def core_share(samples: list[ProcessSample]) -> float | None:
    """Processor time as a share of one core; None where there are too few samples to tell."""
    if len(samples) < 2:
        return None
    return (samples[-1].cpu_seconds - samples[0].cpu_seconds) / (samples[-1].at - samples[0].at)
