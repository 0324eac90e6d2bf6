"""What the operating system may tell the process."""

from __future__ import annotations

import signal
from collections.abc import Callable

import anyio
import structlog
from anyio.abc import TaskStatus

from .context import Context

log = structlog.get_logger()


async def receive(
    context: Context, reload: Callable[[], None], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """TERM, INT: stop after the chunk, at the second one cancel it. USR1, USR2: pause, resume. HUP: read settings."""
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
    with anyio.open_signal_receiver(*wanted) as arriving:
        task_status.started()
        async for number in arriving:
            if number in (signal.SIGTERM, signal.SIGINT):
                log.info("stopping", signal=number.name, chunks="cancelled" if context.stopping else "finished first")
                context.stop()
            elif number is signal.SIGUSR1:
                context.pauses.pause("signal")
                log.info("paused", by="signal")
            elif number is signal.SIGUSR2:
                context.pauses.resume("signal")
                log.info("resumed", by="signal", still_paused_by=context.pauses.holders)
            else:
                reload()
