"""Log lines: for people on a terminal, JSON anywhere else, and without secrets.

One event per fact, in lower case, with its values as keys: `log.info("hold", job="users-email", reason="…")`. Keys
that hold for all that follows in a task are bound once with `structlog.contextvars.bind_contextvars(job=…)`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pgbackfill.redact import MASK, redact
from pgbackfill.settings import LogSettings

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "warn": 30, "error": 40, "exception": 40, "critical": 50}
_SECRET_KEYS: Final = ("password", "passwd", "token", "secret", "authorization")

_threshold = _LEVELS["info"]


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Sets level and form of all logging of the process, other libraries' included. Again for SIGHUP."""
    global _threshold
    _threshold = _LEVELS[settings.level]
    stream = stream or sys.stderr
    on_terminal = stream.isatty()
    console = settings.format == "console" or (settings.format == "auto" and on_terminal)
    structlog.configure(
        processors=[
            _drop_below_threshold,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=not console, key="time" if not console else "timestamp"),
            structlog.processors.StackInfoRenderer(),
            structlog.dev.set_exc_info,  # log.exception(…) means "with the current exception"
            structlog.processors.format_exc_info,
            redact_event,
            *_renderer(console, colors=on_terminal),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        # A bound logger that was made before SIGHUP must follow the new level, hence the threshold above.
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(logging.DEBUG if settings.level == "debug" else logging.INFO)
    # These tell of every selector and request at levels that they call INFO and DEBUG.
    for name in ("asyncio", "uvicorn", "uvicorn.access", "asyncpg", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Complains of each request that is no HTTP: whoever can connect could fill the log. Our own errors we log.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


def get_logger(**bound: Any) -> Any:
    """A logger with these keys bound."""
    return structlog.get_logger(**bound)


def redact_event(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Removes passwords and tokens from every value, however deep."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if any(word in key.lower() for word in _SECRET_KEYS):
        return MASK
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: _clean(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


def _drop_below_threshold(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if _LEVELS.get(method, logging.INFO) < _threshold:
        raise structlog.DropEvent
    return event


def _renderer(console: bool, *, colors: bool) -> list[Processor]:
    if console:
        renderer = structlog.dev.ConsoleRenderer(
            colors=colors, pad_event_to=24, exception_formatter=structlog.dev.plain_traceback
        )
        return [renderer]
    return [structlog.processors.JSONRenderer(default=str)]


class _ToStructlog(logging.Handler):
    """Sends what other libraries log through the same processors."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger().bind(library=record.name)
        method = record.levelname.lower() if record.levelname.lower() in _LEVELS else "info"
        exception = {"exc_info": record.exc_info} if record.exc_info else {}
        getattr(logger, method)(record.getMessage(), **exception)
