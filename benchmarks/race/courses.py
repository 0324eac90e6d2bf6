"""What is raced over: the link's rate over time, the change, the foreground, and who takes part."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .foreground import COMPUTE, HOT_ROWS, READ_AND_COUNT, Foreground, Surge
from .policies import GRID, POLICIES
from .schedule import Schedule

NOBODY, DAEMON = "nobody", "pgbackfill"

LOWER = "email_lower = lower(email), n = n + 1"
HASH = "digest = encode(sha512(convert_to(repeat(email, 300), 'UTF8')), 'hex'), n = n + 1"
"""Some 40 microseconds a row: several times the price of the update itself."""

WIDE, MEDIUM, NARROW = 1000, 400, 200
"""Filler bytes; with them an update writes some 1,280, 670 and 470 bytes of WAL. Wide rows make a fast link bind before
the processor does. Rows and rate are such that no fixed setting happens to write just what the link carries."""


@dataclass(frozen=True, slots=True)
class Course:
    """`limit_s` ends a run that is not done; what it did by then is compared. `alone_s` is the foreground's own time.

    `whole` is false for a course cut short, to which no aim applies: the start of a run would be most of it.
    `harm` is what "gentler" means here: the `lag` of the standby (p99) or the `latency` of the foreground (p95).
    """

    name: str
    title: str
    rows: int
    limit_s: float
    foreground: Foreground
    harm: str
    contenders: tuple[str, ...]
    schedule: Schedule | None = None
    set_clause: str = LOWER
    column: str = "email_lower"
    filler_bytes: int = WIDE
    alone_s: float = 3.0
    whole: bool = True

    def scaled(self, factor: float) -> Course:
        """Shorter, with fewer rows: to see that it works, not how fast."""
        surge = self.foreground.surge
        if surge is not None:
            surge = Surge(surge.at_s * factor, surge.seconds * factor, surge.rate)
        return replace(
            self,
            rows=int(self.rows * factor),
            limit_s=self.limit_s * factor,
            alone_s=self.alone_s * factor,
            whole=False,
            schedule=self.schedule and self.schedule.scaled(factor),
            foreground=replace(self.foreground, surge=surge),
        )


LIGHT = Foreground(READ_AND_COUNT, rate=200)

COURSES = {
    course.name: course
    for course in (
        Course(
            "constant",
            "link of 20 MB/s",
            rows=500_000,
            limit_s=18,
            filler_bytes=MEDIUM,
            foreground=LIGHT,
            harm="lag",
            contenders=(NOBODY, *(name for name in POLICIES if name != "lhm-time"), DAEMON),
            schedule=Schedule.of((0, 20)),
        ),
        Course(
            "changing",
            "link of 20, then 5, then 40 MB/s",
            rows=240_000,
            limit_s=20,
            foreground=LIGHT,
            harm="lag",
            contenders=("gh-ost", "pt-osc", DAEMON),
            schedule=Schedule.of((0, 20), (6, 5), (12, 40)),
        ),
        Course(
            "stopped",
            "standby out of reach for 15 s",
            rows=220_000,
            limit_s=26,
            foreground=LIGHT,
            harm="lag",
            contenders=("gh-ost", DAEMON),
            schedule=Schedule.of((0, 12), (4, 0), (19, 12)),
        ),
        Course(
            "cpu",
            "expensive expression, foreground at half of the machine",
            # Long enough that the first second, in which the pace is found, is what it is of a job of minutes.
            rows=1_000_000,
            limit_s=30,
            foreground=Foreground(COMPUTE, rate=0.5, of_machine=True),
            harm="latency",
            contenders=(NOBODY, *GRID, DAEMON),
            set_clause=HASH,
            column="digest",
            filler_bytes=NARROW,
        ),
        Course(
            "busy",
            "expensive expression, foreground at a quarter, then two thirds, then a quarter of the machine",
            # Long enough for each part to be worth adapting to: a foreground changes in minutes, not in seconds.
            rows=1_000_000,
            limit_s=30,
            foreground=Foreground(COMPUTE, rate=0.25, of_machine=True, surge=Surge(10, 10, 0.42)),
            harm="latency",
            contenders=(NOBODY, *(name for name in GRID if not name.startswith("grid-50-")), DAEMON),
            set_clause=HASH,
            column="digest",
            filler_bytes=NARROW,
            alone_s=30.0,
        ),
        Course(
            "locks",
            "foreground that updates hot rows in the opposite order",
            rows=250_000,
            limit_s=8,
            foreground=Foreground(HOT_ROWS, rate=400, clients=8),
            harm="latency",
            contenders=(NOBODY, "fixed", "pt-osc", DAEMON),
            filler_bytes=NARROW,
        ),
    )
}
