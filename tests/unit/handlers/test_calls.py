"""Calls run side by side, never more than allowed, each with a time limit, and begin in the order of the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from pgbackfill.handlers import Call, Handler, Row, TryLater
from pgbackfill.handlers import calls as module
from pgbackfill.handlers.calls import Calls, Values
from pgbackfill.handlers.errors import HandlerRaised, HandlerTimedOut, HandlerUnavailable, WrongAnswer

ROWS: list[Row] = [{"id": i} for i in range(10)]


def calls(
    function: Any,
    *,
    concurrency: int = 3,
    batch_rows: int = 1,
    timeout_s: float = 5.0,
    stopping: Callable[[], bool] = lambda: False,
) -> Calls:
    call = Call("job", None, concurrency, timeout_s, None, stopping)
    return Calls(Handler("geo", function), {"by": 1}, call, batch_rows, {"n": None}, stopping)


async def double(rows: list[Row], params: Mapping[str, Any], call: Call) -> list[dict[str, Any]]:
    return [{"n": 2 * row["id"]} for row in rows]


@pytest.mark.parametrize("batch_rows", [1, 4, 10, 99])
async def test_each_row_gets_its_own_result(batch_rows: int) -> None:
    found = await calls(double, batch_rows=batch_rows).compute(ROWS)
    assert found == [Values({"n": 2 * i}) for i in range(10)]


async def test_calls_overlap_up_to_the_limit() -> None:
    running = most = 0
    full = anyio.Event()

    async def together(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await full.wait()  # never, if they came one after the other
        running -= 1
        return [None] * len(rows)

    with anyio.fail_after(5):
        found = await calls(together).compute(ROWS)
    assert most == 3
    assert found == [Values(None)] * 10


async def test_a_handler_may_change_what_it_was_given() -> None:
    async def vandal(rows: list[Row], params: Any, call: Call) -> Any:
        params.clear()
        rows[0].clear()
        return [None]

    rows: list[Row] = [{"id": 1}, {"id": 2}]
    await calls(vandal).compute(rows)
    assert rows == [{"id": 1}, {"id": 2}]


async def test_after_a_failure_no_further_call_begins() -> None:
    begun = []

    async def third_fails(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        begun.append(rows[0]["id"])
        if rows[0]["id"] == 4:
            raise ValueError("no such place")
        return await double(rows, params, call)

    found = await calls(third_fails, concurrency=1, batch_rows=2).compute(ROWS)
    assert begun == [0, 2, 4]
    assert found[:4] == [Values({"n": 2 * i}) for i in range(4)]
    error = found[4]
    assert isinstance(error, HandlerRaised)
    assert (str(error), error.rows, error.sqlstate) == ("ValueError: no such place", 2, "PBH01")
    assert found[5:] == [None] * 5


async def test_a_call_that_takes_too_long_is_cancelled() -> None:
    async def hangs(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        await anyio.sleep_forever()

    (error,) = await calls(hangs, timeout_s=0.01).compute(ROWS[:1])
    assert isinstance(error, HandlerTimedOut)
    assert str(error) == "handler geo took longer than handler_timeout_s (0.01)"


async def test_a_time_out_of_the_handlers_own_is_an_exception_like_any_other() -> None:
    async def gives_up(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        raise TimeoutError

    (error,) = await calls(gives_up).compute(ROWS[:1])
    assert isinstance(error, HandlerRaised)
    assert str(error) == "TimeoutError"


async def test_try_later_blames_nobody() -> None:
    async def down(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        raise TryLater("503")

    (error,) = await calls(down).compute(ROWS[:1])
    assert isinstance(error, HandlerUnavailable)
    assert str(error) == "503"


async def test_the_first_call_is_made_even_if_somebody_stops_the_job_and_no_other() -> None:
    found = await calls(double, concurrency=1, stopping=lambda: True).compute(ROWS)
    assert found == [Values({"n": 0})] + [None] * 9


async def test_no_call_begins_after_the_target_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPUTE_TARGET_S", 0.0)
    found = await calls(double, concurrency=1, batch_rows=3).compute(ROWS)
    assert found == [Values({"n": 2 * i}) for i in range(3)] + [None] * 7


async def test_a_wrong_answer_ends_all_calls() -> None:
    async def wrong(rows: list[Row], params: Mapping[str, Any], call: Call) -> Any:
        if rows[0]["id"] == 1:
            return []
        await anyio.sleep_forever()
        return None

    with anyio.fail_after(5), pytest.raises(WrongAnswer, match="for each of its 1 rows, not 0 of them"):
        await calls(wrong).compute(ROWS)
