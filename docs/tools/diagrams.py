"""Draws the diagrams of docs/images: `make generated`. The states come from `jobs/states.py`; a test compares files.

Plain SVG on a light card, so that they can be read on a dark page, too. The picture of the pace is a simulated run:
`pgbackfill simulate src/pgbackfill/simulate/scenarios/capacity_steps.toml --png docs/images/pace.png`.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from pgbackfill.jobs.states import FINISHED, TRANSITIONS, Status

FOLDER = Path(__file__).parents[1] / "images"
HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">
<style>
text {{ font: 13px ui-sans-serif, system-ui, sans-serif; fill: #1f2937 }}
.small {{ font-size: 11.5px; fill: #4b5563 }} .code {{ font-family: ui-monospace, monospace; font-size: 11.5px }}
.box {{ fill: #eef2ff; stroke: #4f46e5 }} .end {{ fill: #ecfdf5; stroke: #059669 }}
.bad {{ fill: #fef2f2; stroke: #dc2626 }}
.line {{ fill: none; stroke: #6b7280 }} .life {{ stroke: #9ca3af; stroke-dasharray: 4 4 }}
.on {{ paint-order: stroke; stroke: #ffffff; stroke-width: 4px }}
.locked {{ fill: #fde68a; stroke: #b45309 }} .mark {{ fill: #dc2626 }}
</style>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0L8 4L0 8z" fill="#6b7280"/></marker></defs>
<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>
"""


def svg(width: int, height: int, label: str, parts: list[str]) -> str:
    return HEAD.format(width=width, height=height, label=escape(label)) + "\n".join(parts) + "\n</svg>\n"


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def states() -> str:
    """A column for each status, an arrow for each event that moves a job from one to another."""
    gap, top, step = 108, 30, 30
    columns = {status: 60 + gap * number for number, status in enumerate(Status)}
    moves = [(start, event, end) for start, events in TRANSITIONS.items() for event, end in events.items()]
    bottom = top + 20 + step * len(moves) + 14
    parts = []
    for status, x in columns.items():
        kind = "box" if status not in FINISHED else "end" if status is Status.SUCCEEDED else "bad"
        parts.append(f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" class="life"/>')
        parts.append(f'<rect x="{x - 46}" y="{top - 18}" width="92" height="30" rx="8" class="{kind}"/>')
        parts.append(text(x, top + 2, status.value, anchor="middle"))
    for number, (start, event, end) in enumerate(moves):
        y, x1, x2 = top + 40 + step * number, columns[start], columns[end]
        parts.append(f'<circle cx="{x1}" cy="{y}" r="3.5" fill="#6b7280"/>')
        parts.append(f'<path d="M{x1} {y}H{x2 + (-2 if x2 > x1 else 2)}" class="line" marker-end="url(#arrow)"/>')
        right = x2 > x1
        parts.append(text(x1 + (8 if right else -8), y - 5, event, "small on", "start" if right else "end"))
    return svg(columns[Status.CANCELLED] + 60, bottom + 10, "What moves a job from one status to another", parts)


CHUNK = (
    ("BEGIN", "session settings, search_path, time-outs"),
    ("begin_chunk(range, epoch, token)", "locks the range row, reads the cursor; none: lease lost"),
    ("the next n keys after the cursor", "an index-only look at the key"),
    ("lock what where_clause selects", "in key order, where another table is read"),
    ("change the rows", "inside EXPLAIN (ANALYZE, WAL): own WAL and plan"),
    ("end_chunk(cursor, counts)", "cursor, counters, a new lease, chunk number + 1"),
    ("COMMIT", "rows and cursor become true together"),
)
"""One transaction, as `database/chunk.py` sends it."""


def chunk() -> str:
    """A chunk's transaction, and what a crash at each point leaves."""
    top, step, left, right = 56, 46, 110, 470
    bottom = top + step * len(CHUNK) + 6
    parts = [
        text(left, 30, "daemon", anchor="middle"),
        text(right, 30, "Postgres", anchor="middle"),
        f'<line x1="{left}" y1="40" x2="{left}" y2="{bottom}" class="life"/>',
        f'<line x1="{right}" y1="40" x2="{right}" y2="{bottom}" class="life"/>',
        f'<rect x="{right - 6}" y="{top + step}" width="12" height="{step * (len(CHUNK) - 1) - 20}" class="locked"/>',
        text(right + 14, top + step + 32, "range row locked:", "small"),
        text(right + 14, top + step + 48, "nobody else can be", "small"),
        text(right + 14, top + step + 64, "inside this range", "small"),
        text(right + 14, bottom - 54, "crash up to here: nothing", "small"),
        text(right + 14, bottom - 38, "has happened", "small"),
        text(right + 14, bottom - 18, "from here: all of it has", "small"),
        f'<circle cx="{right}" cy="{bottom - 26}" r="4" class="mark"/>',
    ]
    for number, (what, about) in enumerate(CHUNK):
        y = top + step * number + 14
        parts.append(f'<path d="M{left} {y}H{right - 8}" class="line" marker-end="url(#arrow)"/>')
        parts.append(text(left + 10, y - 6, what, "code"))
        parts.append(text(left + 10, y + 15, about, "small"))
    return svg(640, bottom + 16, "The transaction of a chunk", parts)


LOOP = (
    ("replicas, canaries, slots …", "signals", "every 0.1 s to 10 s: value, age, soft and hard limit"),
    ("capacity, standing queue, limits", "governor", "one pace for the process, in bytes of WAL a second"),
    ("chunk time, rows, own WAL", "controller", "one for each lane: chunk size, sleep, limits of the job"),
    ("RunChunk(rows) or Wait(s, reason)", "lane", "runs one transaction, then reports what it took"),
)
"""From what is measured to what is done."""


def loop() -> str:
    """The control loop."""
    parts = []
    for number, (comes, name, about) in enumerate(LOOP):
        y = 24 + 78 * number
        parts.append(f'<rect x="40" y="{y}" width="150" height="44" rx="8" class="box"/>')
        parts.append(text(115, y + 26, name, anchor="middle"))
        parts.append(text(210, y + 18, comes, "code"))
        parts.append(text(210, y + 36, about, "small"))
        if number:
            parts.append(f'<path d="M115 {y - 34}V{y - 2}" class="line" marker-end="url(#arrow)"/>')
    end = 24 + 78 * (len(LOOP) - 1) + 22
    parts.append(f'<path d="M40 {end}H16V{end - 78}H38" class="line" marker-end="url(#arrow)"/>')
    parts.append(text(22, end - 34, "sample", "small"))
    return svg(600, end + 44, "From signals to chunks", parts)


def diagrams() -> dict[Path, str]:
    """Path → text of every diagram."""
    return {FOLDER / f"{name}.svg": draw() for name, draw in (("states", states), ("chunk", chunk), ("loop", loop))}


if __name__ == "__main__":
    for path, drawing in diagrams().items():
        path.write_text(drawing, encoding="utf-8")
