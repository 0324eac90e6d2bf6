"""`pgbackfill demo`: the classic backfill on an embedded Postgres, from start to a verified end."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console

from pgbackfill.demo import report, shop
from pgbackfill.demo.course import slow_the_link
from pgbackfill.demo.observer import Observer
from pgbackfill.demo.picture import draw
from pgbackfill.demo.recording import Recording, Span
from pgbackfill.demo.shop import Verdict
from pgbackfill.demo.stage import Stage
from pgbackfill.demo.view import snapshot
from pgbackfill.embedded import Scratch
from pgbackfill.errors import UsageError
from pgbackfill.screen import Display

DEFAULT_ROWS = 300_000
DEFAULT_PNG = Path("pgbackfill-demo.png")
# The application warms its connections and the caches up, then its latency without a job is measured.
WARM_UP_S = 2.0
BASELINE_S = 5.0
FRAME_S = 0.25
# So that the screen and the picture show the return to calm.
AFTERWARDS_S = 1.0
# A shell reports a process that signal n ended as 128 + n.
SIGNALLED = 128
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_demo(rows: int = DEFAULT_ROWS, png: Path = DEFAULT_PNG, plain: bool = False) -> int:
    """Run the demonstration with `rows` orders and write a picture to `png`; the exit code.

    0: every order was verified; 1: the job failed or a row is wrong; 128 + n: ended by signal n. Raises UsageError;
    what goes wrong later comes in an ExceptionGroup. Whatever happens, neither a process nor a folder remains.
    """
    if rows < 1:
        raise UsageError(f"--rows must be at least 1, not {rows}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("matplotlib, which draws the picture, is not installed: pip install 'pgbackfill[demo]'.")
    if not png.absolute().parent.is_dir():
        raise UsageError(f"the picture cannot be written: there is no folder {png.absolute().parent}.")
    console = Console()
    scratch = Scratch.of_process()
    # Matplotlib's caches would be a folder that remains.
    os.environ.setdefault("MPLCONFIGDIR", str(scratch.path))
    try:
        code = anyio.run(_guarded, console, rows, png, plain)
    finally:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
        scratch.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    if code > SIGNALLED:
        console.print("Interrupted: every process is stopped and the temporary folder deleted.")
    return code


async def _guarded(console: Console, rows: int, png: Path, plain: bool) -> int:
    """The demonstration, ended in an orderly way by the first signal and at once by the second."""
    code = result = 0
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        async with anyio.create_task_group() as tasks:

            async def obey() -> None:
                nonlocal code
                async for number in signals:
                    if code:
                        console.show_cursor(True)
                        os._exit(code)
                    code = SIGNALLED + number
                    tasks.cancel_scope.cancel()

            tasks.start_soon(obey)
            result = await _perform(console, rows, png, plain)
            tasks.cancel_scope.cancel()
    return code or result


async def _perform(console: Console, rows: int, png: Path, plain: bool) -> int:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    async with anyio.create_task_group() as tasks:
        stage = await Stage.build(tasks, rows, say)
        with Display(console, plain=plain) as display:
            run = await _run_job(stage, display)
        if run.exit_code:
            say(f"The daemon ended with exit code {run.exit_code}; the end of its log:\n{stage.end_of_daemon_log()}")
            tasks.cancel_scope.cancel()
            return 1
        verdict = await shop.verify(stage.dsn)
        lines = report.summary(run.recording, baseline=run.baseline, job=run.job, verdict=verdict)
        report.show(console, lines, plain=display.plain)
        await anyio.to_thread.run_sync(partial(draw, run.recording, baseline=run.baseline, job=run.job, path=png))
        say(f"Picture: {png}")
        tasks.cancel_scope.cancel()
    return 0 if verdict == Verdict(rows=rows, wrong=0) else 1


@dataclass(frozen=True, slots=True)
class _Run:
    recording: Recording
    baseline: Span
    job: Span
    exit_code: int


async def _run_job(stage: Stage, display: Display) -> _Run:
    """The part that is shown on the screen: the application alone, then beside the job."""
    recording = Recording()
    zero_s = anyio.current_time()

    def clock() -> float:
        return anyio.current_time() - zero_s

    async with anyio.create_task_group() as tasks:
        observer = Observer(stage.dsn, recording, clock)
        tasks.start_soon(observer.read_traffic, stage.start_traffic())
        tasks.start_soon(observer.watch)
        tasks.start_soon(_redraw, display, recording, clock)
        recording.notes.append("The application works; its latency without a job is measured.")
        await anyio.sleep(WARM_UP_S + BASELINE_S)
        baseline = Span(WARM_UP_S, clock())
        recording.notes.append("INSERT INTO pgbackfill.jobs, then `pgbackfill run --drain`.")
        await shop.enqueue(stage.dsn)
        daemon = stage.start_daemon()
        tasks.start_soon(slow_the_link, stage.link, observer, recording, clock)
        exit_code = await anyio.to_thread.run_sync(daemon.wait, abandon_on_cancel=True)
        await anyio.sleep(AFTERWARDS_S)
        tasks.cancel_scope.cancel()
    return _Run(recording, baseline, recording.job(), exit_code)


async def _redraw(display: Display, recording: Recording, clock: Callable[[], float]) -> None:
    while True:
        if recording.points:
            display.show(snapshot(recording, clock()))
        await anyio.sleep(FRAME_S)
