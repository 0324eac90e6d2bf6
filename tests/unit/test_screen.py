"""What a person reads on the screen and in a pipe."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pgbackfill.durations import duration
from pgbackfill.screen import Display, Gauge, JobView, Snapshot, Unit
from pgbackfill.screen.render import render
from pgbackfill.screen.sparkline import bar, levels
from pgbackfill.screen.words import hold, quantity, remaining

JOB = JobView(
    name="users-email-lower",
    status="running",
    percent=43.2,
    rows_scanned=129_600,
    rows_estimated=300_000,
    eta_low_s=8,
    eta_high_s=12,
)
HELD = replace(JOB, hold_reason="replica_lag 6.2s > 5s (replica-b)", held_s=3.1)
GAUGES = (
    Gauge("rows/s", Unit.ROWS_PER_S, [0.0, 18_430.4]),
    Gauge("sleep", Unit.MILLISECONDS, [None]),
    Gauge("replica lag", Unit.SECONDS, [0.1, 6.2], soft=1, hard=5, signal=True),
    Gauge("canary", Unit.MILLISECONDS, [], signal=True),
)


def drawn(snapshot: Snapshot, columns: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render(snapshot, columns))
    return capture.get().splitlines()


def printed(*snapshots: Snapshot) -> list[str]:
    file = io.StringIO()
    with Display(Console(file=file, width=20)) as display:
        for snapshot in snapshots:
            display.show(snapshot)
    return file.getvalue().splitlines()


def test_a_frame_says_how_far_how_fast_and_why_it_stands() -> None:
    text = "\n".join(drawn(Snapshot(12.3, HELD, GAUGES, ["the link is slow"])))
    for part in (
        "users-email-lower · running",
        "43.2 %  129,600 of 300,000",
        "8 s to 12 s left",
        "18,430",
        "6.20 s",
        "hold > 5 s",
        "held for 3 s: replica_lag 6.2s > 5s (replica-b)",
        "the link is slow",
    ):
        assert part in text


@pytest.mark.parametrize("columns", [50, 80, 100, 200])
def test_a_frame_fits_the_terminal_and_keeps_its_height(columns: int) -> None:
    long = Snapshot(12.3, HELD, [replace(each, history=[1.0] * 500) for each in GAUGES], ["a note " * 40] * 9)
    frames = [drawn(Snapshot(0, JOB, GAUGES), columns), drawn(long, columns)]
    assert {len(line) for frame in frames for line in frame} == {min(columns, 100)}
    if columns >= 80:
        assert len(frames[0]) == len(frames[1])


def test_a_signal_without_a_value_is_unknown_and_never_a_number() -> None:
    (line,) = printed(Snapshot(0, JOB, GAUGES))
    assert line == "   0.0 s  running   43.2 %  rows/s 18,430  sleep -  replica lag 6.20 s  canary unknown"


def test_a_pipe_gets_about_a_line_a_second_and_every_note_once() -> None:
    frames = [Snapshot(tenth / 10, JOB, (), ["begun"] if tenth < 15 else ["begun", "slow"]) for tenth in range(30)]
    lines = printed(*frames)
    assert [line for line in lines if "*" in line] == ["   0.0 s  * begun", "   1.5 s  * slow"]
    assert [line.split(" s ")[0].strip() for line in lines if "*" not in line] == ["0.0", "1.0", "2.0"]


def test_a_hold_is_on_the_line_with_its_reason() -> None:
    assert printed(Snapshot(0, HELD, ()))[0].endswith("held for 3 s: replica_lag 6.2s > 5s (replica-b)")


def test_a_terminal_is_redrawn_in_place_unless_plain_is_wanted() -> None:
    def written(plain: bool) -> str:
        file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        console = Console(file=file, width=80, force_terminal=True, color_system=None)
        with Display(console, plain=plain) as display:
            display.show(Snapshot(0, JOB, GAUGES))
        file.seek(0)
        return file.read()

    assert "╭" in written(plain=False)
    assert "\x1b" not in written(plain=True)


def test_a_terminal_that_cannot_show_bars_gets_lines() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with Display(Console(file=file, width=80, force_terminal=True, color_system=None)) as display:
        display.show(Snapshot(0, JOB, GAUGES))
    file.seek(0)
    assert "43.2 %" in file.read()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (356_400, "4 d 3 h"), (-3, "0 s")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (18_430.4, Unit.ROWS_PER_S, "18,430"),
        (3.44, Unit.MILLISECONDS, "3.4 ms"),
        (1234.5, Unit.MILLISECONDS, "1,234 ms"),
        (0.123, Unit.SECONDS, "0.12 s"),
        (62.31, Unit.SECONDS, "62.3 s"),
        (None, Unit.SECONDS, "unknown"),
    ],
)
def test_quantities_carry_their_unit(value: float | None, unit: Unit, text: str) -> None:
    assert quantity(value, unit) == text


def test_nothing_is_said_where_nothing_is_known() -> None:
    assert remaining(replace(JOB, eta_high_s=None)) is None
    assert hold(JOB) is None


def test_a_sparkline_shows_the_newest_values_against_the_largest_or_the_limit() -> None:
    assert levels([9, 1, None, 4], 3) == [0.25, None, 1.0]
    assert levels([1.0], 3, top=4) == [0.25]
    assert levels([0.0, 0.0], 3) == [0.0, 0.0]
    assert "".join(bar(level) for level in (0.0, 0.5, 1.0, None)) == "▁▅█ "
