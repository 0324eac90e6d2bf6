"""Which handlers there are: coroutines registered by entry point, or by a module that is named to `run --handlers`."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeAlias

from pgbackfill.errors import UsageError

from .call import Call, Row

GROUP = "pgbackfill.handlers"
"""The group of entry points; the name of an entry point is the name of the handler."""

Answer: TypeAlias = Sequence[Mapping[str, Any] | None]
Uses: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]
Function: TypeAlias = Callable[[list[Row], Mapping[str, Any], Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Handler:
    """A coroutine that computes new values for rows. `reads`: the columns it gets beside the key; None: all.

    `uses`: what it shares among its calls, such as an HTTP client; opened when the daemon starts, closed when it ends.
    """

    name: str
    function: Function
    reads: tuple[str, ...] | None = None
    uses: Uses | None = None


def handler(
    function: Function | None = None,
    *,
    name: str | None = None,
    reads: Iterable[str] | None = None,
    uses: Uses | None = None,
) -> Any:  # a decorator with and without arguments
    """Registers a coroutine function under `name` (its own, unless told otherwise).

    It is called with rows, the job's params and a `Call`, and returns for each row, in the same order, a mapping of
    columns to their new values, or None to leave the row as it is. With `reads` it is given these columns and the key
    alone, so that wide rows need not be fetched. `uses` makes an async context manager, which yields `call.resource`.
    """

    def register(found: Function) -> Function:
        if not inspect.iscoroutinefunction(found):
            raise TypeError(f"a handler must be a coroutine function (async def), not {found!r}")
        marked: Any = found
        read = None if reads is None else tuple(reads)
        marked.pgbackfill_handler = Handler(name or marked.__name__, found, read, uses)
        return found

    return register if function is None else register(function)


class Handlers:
    """The handlers of this process by name."""

    def __init__(self, found: Iterable[Handler] = ()) -> None:
        self._found: dict[str, Handler] = {}
        self._resources: dict[str, Any] = {}
        for each in found:
            self._add(each)

    @classmethod
    def load(cls, modules: Iterable[str] = ()) -> Handlers:
        """Those of all entry points and of these modules, also from the working directory. Raises UsageError."""
        loaded = cls()
        for point in entry_points(group=GROUP):
            function = _imported(f"handler {point.name} ({point.value})", point.load)
            marked: Handler | None = getattr(function, "pgbackfill_handler", None)
            if not inspect.iscoroutinefunction(function):
                raise UsageError(f"The handler {point.name} ({point.value}) must be a coroutine function (async def).")
            loaded._add(replace(marked, name=point.name) if marked else Handler(point.name, function))
        for name in modules:
            loaded._add_module(name)
        return loaded

    def _add_module(self, name: str) -> None:
        here = str(Path.cwd())
        if here not in sys.path:  # as `python -m` does
            sys.path.insert(0, here)
        module = _imported(f"module {name} of --handlers", lambda: importlib.import_module(name))
        found = [
            marked
            for value in vars(module).values()
            if isinstance(marked := getattr(value, "pgbackfill_handler", None), Handler)
        ]
        if not found:
            raise UsageError(
                f"The module {name} registers no handler; mark a coroutine with @pgbackfill.handlers.handler."
            )
        for each in found:
            self._add(each)

    def _add(self, new: Handler) -> None:
        known = self._found.setdefault(new.name, new)
        if known.function is not new.function:
            raise UsageError(f"There are two handlers named {new.name}; give one of them another name.")

    @property
    def names(self) -> list[str]:
        return sorted(self._found)

    async def open(self, stack: AsyncExitStack) -> None:
        """Opens what the handlers use, to be closed with the stack. Raises UsageError."""
        for name, each in self._found.items():
            if each.uses is not None:
                try:
                    self._resources[name] = await stack.enter_async_context(each.uses())
                except Exception as error:  # whatever a person's code raises
                    raise UsageError(
                        f"What the handler {name} uses cannot be opened: {type(error).__name__}: {error}."
                    ) from error

    def resource(self, name: str) -> Any:
        """What `uses` of the handler has opened, or None."""
        return self._resources.get(name)

    def get(self, name: str | None) -> Handler | None:
        return self._found.get(name) if name is not None else None


def _imported(what: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # whatever a person's module does when it is imported
        raise UsageError(f"The {what} cannot be imported: {type(error).__name__}: {error}.") from error
