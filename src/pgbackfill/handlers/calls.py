"""Calls a handler: a bounded number of calls at once, each with a time limit, in the order of the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import anyio

from .call import Call, Row, TryLater
from .errors import HandlerError, HandlerRaised, HandlerTimedOut, HandlerUnavailable, WrongAnswer
from .registry import Handler
from .values import check, encode

COMPUTE_TARGET_S = 2.0
"""After this long no further call is begun, so that a chunk is soon written: what was read is then hardly older, and
little is lost when the daemon dies. Between two chunks no call runs, for some 50 to 100 ms on a busy machine."""

MESSAGE_MOST = 500
"""Characters of an exception's text that are kept."""


@dataclass(frozen=True, slots=True)
class Values:
    """The new values of a row, as JSON; None: the row stays as it is."""

    columns: dict[str, Any] | None


Result: TypeAlias = Values | HandlerError


@dataclass(frozen=True, slots=True)
class Calls:
    """One per chunk. `batch_rows` rows a call; `stopping`: begin no further call."""

    handler: Handler
    params: Mapping[str, Any]
    call: Call
    batch_rows: int
    writable: Mapping[str, str | None]
    stopping: Callable[[], bool]

    async def compute(self, rows: Sequence[Row]) -> list[Result | None]:
        """The result of each row; None where its call was not begun. The first call always is.

        No call is begun after one has failed. Raises WrongAnswer.
        """
        results: list[Result | None] = [None] * len(rows)
        starts = iter(range(0, len(rows), self.batch_rows))
        ends_at = anyio.current_time() + COMPUTE_TARGET_S
        wrong: list[WrongAnswer] = []
        failed = False

        async def work(scope: anyio.CancelScope) -> None:
            nonlocal failed
            while not failed:
                start = next(starts, None)
                if start is None or (start and (self.stopping() or anyio.current_time() >= ends_at)):
                    return
                batch = rows[start : start + self.batch_rows]
                try:
                    results[start : start + len(batch)] = await self._one(batch)
                except HandlerError as error:
                    results[start] = error
                    failed = True
                except WrongAnswer as error:
                    wrong.append(error)
                    scope.cancel()

        async with anyio.create_task_group() as group:
            for _ in range(min(self.call.concurrency, -(-len(rows) // self.batch_rows))):
                group.start_soon(work, group.cancel_scope)
        if wrong:
            raise wrong[0]
        return results

    async def _one(self, batch: Sequence[Row]) -> list[Result | None]:
        rows = len(batch)
        with anyio.move_on_after(self.call.timeout_s) as limit:
            try:
                # Rows of their own: a handler may change what it was given.
                answer = await self.handler.function([dict(row) for row in batch], dict(self.params), self.call)
            except TryLater as error:
                raise HandlerUnavailable(str(error)[:MESSAGE_MOST] or "try again later", rows=rows) from error
            except Exception as error:  # whatever a person's code raises
                said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                raise HandlerRaised(said[:MESSAGE_MOST], rows=rows) from error
        if limit.cancelled_caught:
            raise HandlerTimedOut(
                f"handler {self.handler.name} took longer than handler_timeout_s ({self.call.timeout_s:g})", rows=rows
            )
        found = check(answer, rows, self.writable, self.handler.name)
        try:
            return [Values(encode(values) if values else None) for values in found]
        except HandlerRaised as error:
            raise HandlerRaised(str(error), rows=rows) from None
