"""`pgbackfill watch` in a real terminal of 80 columns, without colour: what it shows and what its keys do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from support.terminal import COLUMNS, LINES, Terminal

from .conftest import COMMAND, environment

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
async def terminal(site: Any) -> AsyncIterator[Callable[..., Terminal]]:
    """Starts `pgbackfill watch …`."""
    opened: list[Terminal] = []

    def start(*arguments: str, **variables: str) -> Terminal:
        env = (
            environment(site.database.dsn)
            | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
            | variables
        )
        opened.append(Terminal([*COMMAND, "watch", *arguments], env))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


async def test_it_shows_a_job_and_its_keys_steer_it(site: Any, terminal: Any, until: Any) -> None:
    await site.slow_job("long", "users")
    await site.slow_job("other", "orders", desired_state="pause")
    await site.running()
    await site.chunks("long")
    watch = terminal(NO_COLOR="1")

    async def shows(*texts: str) -> bool:
        return all(any(text in line for line in watch.frame) for text in texts)

    await until(
        lambda: shows("long · running", "rows/s", "chunk target 100 ms", "write latency"), lambda: watch.raw[-3000:]
    )
    assert {len(line) for line in watch.frame} == {COLUMNS}
    assert len(watch.frame) <= LINES
    assert [code for code in COLOUR.findall(watch.raw) if re.search(r"[34]\d|9\d|10\d", code)] == []

    watch.type("p")
    await site.reaches("long", "paused")
    await until(lambda: shows("long · paused", "desired_state run → pause"), lambda: watch.raw[-3000:])
    watch.type("r")
    await site.reaches("long", "running")
    watch.type("t")
    await site.true("SELECT throttle_ratio = 0.5 FROM pgbackfill.progress WHERE name = 'long'")
    await until(lambda: shows("throttled to 50 % until"), lambda: watch.raw[-3000:])
    watch.type("t")
    await site.true("SELECT throttle_ratio = 0.25 FROM pgbackfill.progress WHERE name = 'long'")
    watch.type("u")
    await site.true("SELECT throttle_ratio IS NULL FROM pgbackfill.progress WHERE name = 'long'")
    watch.type("-")
    await site.true("SELECT options ->> 'chunk_target_ms' = '50' FROM pgbackfill.jobs WHERE name = 'long'")
    watch.type("++")
    await site.true("SELECT options ->> 'chunk_target_ms' = '200' FROM pgbackfill.jobs WHERE name = 'long'")
    await until(lambda: shows("chunk target 200 ms"), lambda: watch.raw[-3000:])
    watch.type("\x1b[Ax")  # a cursor key, and one that means nothing
    watch.type("n")
    await until(lambda: shows("other · paused", "(2 of 2)"), lambda: watch.raw[-3000:])
    watch.type("q")
    assert await asyncio.to_thread(watch.process.wait, 60) == 0
    assert watch.modes() == watch.before
    assert (await site.progress("long"))["status"] == "running"


@pytest.mark.parametrize("ending", ["\x03", "TERM"])
async def test_a_terminal_is_left_as_it_was(site: Any, terminal: Any, until: Any, ending: str) -> None:
    await site.slow_job("long", "users")
    watch = terminal()

    async def drawn() -> bool:
        return bool(watch.frame)

    await until(drawn, lambda: watch.raw)
    if ending == "TERM":
        watch.process.terminate()
    else:
        # The session has no controlling terminal here, so the key is sent as what the kernel makes of it.
        watch.process.send_signal(2)
    assert await asyncio.to_thread(watch.process.wait, 60) == 0, watch.read()
    assert watch.modes() == watch.before
    assert "\x1b[?1049l" in watch.read()  # the screen that was there before


async def test_a_pipe_gets_lines_until_the_job_has_ended(site: Any) -> None:
    await site.table("users", 100)
    await site.enqueue("short", "users")
    daemon = await site.running()
    await site.reaches("short", "succeeded")
    done = await site.cli("watch", "short")
    assert (done.returncode, done.stderr) == (0, "")
    assert "succeeded  100.0 %" in done.stdout
    assert "\x1b" not in done.stdout
    await daemon.stop()
    await site.enqueue("broken", "users", set_clause="note = note")
    await site.connection.execute("ALTER TABLE users DROP COLUMN note")
    assert (await site.daemon("--drain").ended()) == 1
    done = await site.cli("watch", "broken")
    assert done.returncode == 1
    assert 'column "note" does not exist' in done.stdout


async def test_what_cannot_be_watched_gets_a_sentence(site: Any) -> None:
    nothing = await site.cli("watch")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr == "pgbackfill: There are no jobs to watch; `pgbackfill enqueue` makes one.\n"
    unknown = await site.cli("watch", "nobody")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "pgbackfill: There is no job 'nobody'; `pgbackfill status` lists them.\n",
    )
