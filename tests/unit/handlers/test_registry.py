"""Handlers are found by entry point and by module, and a wrong one is told in one sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from pgbackfill.errors import UsageError
from pgbackfill.handlers import Call, Handler, Handlers, Row, handler
from pgbackfill.handlers import registry as module

MODULE = """
from pgbackfill.handlers import handler

@handler
async def {0}(rows, params, call):
    return [None for row in rows]

@handler(name="{0}-other", reads=["a", "b"])
async def other(rows, params, call):
    return [None for row in rows]

def plain(): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which a daemon's modules are looked for in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return tmp_path


def test_a_module_registers_what_it_marks(folder: Path) -> None:
    (folder / "found_here.py").write_text(MODULE.format("geo"))
    handlers = Handlers.load(["found_here"])
    assert handlers.names == ["geo", "geo-other"]
    found = handlers.get("geo-other")
    assert found is not None
    assert found.reads == ("a", "b")
    assert (handlers.get("nothing"), handlers.get(None)) == (None, None)
    assert Handlers.load(["found_here", "found_here"]).names == handlers.names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ValueError('boom')", "The module wrong_{0} of --handlers cannot be imported: ValueError: boom."),
        ("x = 1", "The module wrong_{0} registers no handler; mark a coroutine with @pgbackfill.handlers.handler."),
        (
            "from pgbackfill.handlers import handler\n@handler\ndef f(rows, params, call): ...",
            "The module wrong_{0} of --handlers cannot be imported: TypeError: a handler must be a coroutine function",
        ),
    ],
)
def test_a_module_of_no_use_is_refused(folder: Path, text: str, said: str, request: pytest.FixtureRequest) -> None:
    name = f"{abs(hash(text))}"
    (folder / f"wrong_{name}.py").write_text(text)
    with pytest.raises(UsageError) as caught:
        Handlers.load([f"wrong_{name}"])
    assert said.format(name) in str(caught.value)


def test_two_handlers_of_one_name_are_refused(folder: Path) -> None:
    for name in ("twice_a", "twice_b"):
        (folder / f"{name}.py").write_text(MODULE.format("same"))
    with pytest.raises(UsageError, match="There are two handlers named same; give one of them another name"):
        Handlers.load(["twice_a", "twice_b"])


@handler(reads=["n"])
async def by_entry_point(rows: list[Row], params: Mapping[str, Any], call: Call) -> list[None]:
    return [None for _ in rows]


def not_a_coroutine() -> None: ...


def test_entry_points_are_named_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(names: dict[str, str]) -> None:
        made = [EntryPoint(name, f"{__name__}:{value}", module.GROUP) for name, value in names.items()]
        monkeypatch.setattr(module, "entry_points", lambda group: made if group == module.GROUP else [])
        monkeypatch.setitem(__import__("sys").modules, __name__, __import__("types").SimpleNamespace(**globals()))

    points({"mail.geo": "by_entry_point"})
    found = Handlers.load().get("mail.geo")
    assert found is not None
    assert (found.name, found.reads) == ("mail.geo", ("n",))
    points({"geo": "not_a_coroutine"})
    with pytest.raises(UsageError, match=r"The handler geo \(.*\) must be a coroutine function \(async def\)\."):
        Handlers.load()
    points({"geo": "nothing"})
    with pytest.raises(UsageError, match="cannot be imported: AttributeError"):
        Handlers.load()


async def test_what_a_handler_uses_is_opened_once_and_closed_at_the_end() -> None:
    course = []

    @asynccontextmanager
    async def client() -> AsyncIterator[str]:
        course.append("opened")
        yield "client"
        course.append("closed")

    handlers = Handlers([Handler("geo", by_entry_point, None, client), Handler("plain", by_entry_point)])
    async with AsyncExitStack() as stack:
        await handlers.open(stack)
        assert (handlers.resource("geo"), handlers.resource("plain")) == ("client", None)
    assert course == ["opened", "closed"]

    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        raise OSError("no route")
        yield

    async with AsyncExitStack() as stack:
        with pytest.raises(UsageError, match=r"What the handler geo uses cannot be opened: OSError: no route\."):
            await Handlers([Handler("geo", by_entry_point, None, broken)]).open(stack)
