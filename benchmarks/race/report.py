"""The race as tables and as a document."""

from __future__ import annotations

from benchmarks.harness.report import table

from .courses import DAEMON, NOBODY, Course
from .figures import HARD_S, SOFT_S, Standing
from .goals import Standings, aims, verdict
from .policies import GRID, POLICIES

TITLES = {NOBODY: "nobody (foreground alone)", DAEMON: "pgbackfill"} | {
    name: entry.title for name, entry in (POLICIES | GRID).items()
}

HEADER = [
    "contender",
    "done",
    "seconds",
    "x bound",
    "rows/s",
    "lag p50",
    "p95",
    "p99",
    "max",
    f">{SOFT_S:g}s",
    f">{HARD_S:g}s",
    "fg p50 ms",
    "p95",
    "p99",
    "against pgbackfill",
]


def title(name: str) -> str:
    return TITLES[name]


def spread(standing: Standing, name: str, digits: int) -> str:
    """The median, and the spread where there is one."""
    summary = standing.of(name)
    return summary.text(digits) if summary.count > 1 else f"{summary.median:.{digits}f}"


def line(standing: Standing, standings: Standings, course: Course) -> list[str]:
    of, worked = standing.median, standing.contender != NOBODY
    return [
        title(standing.contender),
        f"{100 * of('done'):.0f} %" if worked else "",
        f"{of('seconds'):.1f}",
        spread(standing, "over_bound", 2) if standing.values("over_bound") else "",
        spread(standing, "rows_per_s", 0) if worked else "",
        *(f"{of(name):.2f}" for name in ("lag_p50", "lag_p95")),
        spread(standing, "lag_p99", 2),
        f"{standing.of('lag_max').maximum:.2f}",
        *(f"{100 * of(name):.0f} %" for name in ("above_soft", "above_hard")),
        f"{of('p50_ms'):.1f}",
        spread(standing, "p95_ms", 1),
        f"{of('p99_ms'):.1f}",
        verdict(standing, standings, course),
    ]


def _stops(standings: Standings) -> list[str]:
    """How each dealt with the standby's absence; nothing where there was none."""
    rows = []
    for name, standing in standings.items():
        if not any(one.stopped for one in standing.rounds):
            continue
        cells = [title(name)]
        for figure in ("held_after", "drained_after", "back_after", "back_after_link"):
            values = standing.stopped(figure)
            cells.append(f"{max(values):.1f}" if len(values) == len(standing.rounds) else "never")
        rows.append(cells)
    header = ["worst of the rounds, seconds", "still writing", "drained", "back at 90 %", "from the link's return"]
    return [table(header, rows)] if rows else []


def text(course: Course, standings: Standings) -> str:
    notes = [
        f"  {title(name)}: {POLICIES[name].note}" for name in standings if name in POLICIES and POLICIES[name].note
    ]
    return "\n".join(
        [
            f"{course.name}: {course.title}; {course.rows:,} rows",
            table(HEADER, [line(standing, standings, course) for standing in standings.values()]),
            *_stops(standings),
            *(["* policy replica, on pgbackfill's own chunk statement:", *notes] if notes else []),
            *(f"  {aim.text()}" for aim in aims(course, standings)),
        ]
    )


def document(course: Course, standings: Standings) -> dict[str, object]:
    return {
        "course": course.name,
        "rows": course.rows,
        "contenders": {
            name: {
                "title": title(name),
                "against_pgbackfill": verdict(standing, standings, course),
                "rounds": [one.document() for one in standing.rounds],
            }
            for name, standing in standings.items()
        },
        "aims": [
            {"what": aim.what, "value": aim.value, "at_most": aim.goal.limit, "met": aim.met}
            for aim in aims(course, standings)
        ],
    }
