"""A snapshot as one line, for pipes and logs."""

from __future__ import annotations

from pgbackfill.screen import words
from pgbackfill.screen.snapshot import Snapshot


def line(snapshot: Snapshot) -> str:
    """`  12.3 s   43.2 %   18,230 rows/s   replica lag 0.12 s … held for 3 s: …`."""
    job = snapshot.job
    parts = [f"{snapshot.elapsed_s:6.1f} s", job.status, f"{job.percent or 0.0:5.1f} %"]
    parts += [f"{gauge.label} {words.reading(gauge)}" for gauge in snapshot.gauges]
    if (held := words.hold(job)) is not None:
        parts.append(held)
    return "  ".join(parts)
