"""What happens during the demonstration: the link to the standby becomes slow half-way, and fast again."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from pgbackfill.demo.observer import Observer
from pgbackfill.demo.recording import Recording, Span
from pgbackfill.demo.shop import OPTIONS
from pgbackfill.embedded import Link

BEGIN_PERCENT = 40.0
# A tenth of what the primary writes: lag grows by 0.9 s a second, whatever the speed of the machine.
SLOW_SHARE = 0.1
LEAST_BYTES_PER_S = 64 * 1024
LONGEST_SLOW_S = 10.0
SLOW_AFTER_HOLD_S = 3.0


async def slow_the_link(link: Link, observer: Observer, recording: Recording, clock: Callable[[], float]) -> None:
    """Once the job is at BEGIN_PERCENT: slow until a while after it was held, then as before."""
    await recording.until(lambda point: (point.percent or 0.0) >= BEGIN_PERCENT)
    begun_s = clock()
    link.rate = max(LEAST_BYTES_PER_S, (observer.wal_bytes_per_s or 0.0) * SLOW_SHARE)
    recording.notes.append(f"The link to the standby becomes slow: {link.rate / 1e6:.1f} MB/s.")
    try:
        with anyio.move_on_after(LONGEST_SLOW_S):
            held = await recording.until(lambda point: point.hold_reason is not None)
            # The daemon also counts the time that the backlog will take, so it often acts before the lag is there.
            foreseen = held.lag_s is not None and held.lag_s < OPTIONS["lag_hard_s"]
            recording.notes.append(f"The daemon {'foresees' if foreseen else 'sees'} {held.hold_reason}: it holds.")
            await anyio.sleep(SLOW_AFTER_HOLD_S)
    finally:
        link.rate = None
        recording.slow_link.append(Span(begun_s, clock()))
    recording.notes.append("The link is fast again.")
    await recording.until(lambda point: point.hold_reason is None)
    recording.notes.append("The daemon goes on.")
