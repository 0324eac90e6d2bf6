"""How often a link tries to connect: its users may ask as often as they like."""

from __future__ import annotations

import anyio
import pytest

from pgbackfill.database.link import BACKOFF_FIRST_S, BACKOFF_MOST_S, Link
from pgbackfill.database.types import Connection
from pgbackfill.errors import DatabaseUnavailable


class Nobody:
    """Where nobody listens."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def connect(self) -> Connection:
        self.asked.append(anyio.current_time())
        raise DatabaseUnavailable(f"Attempt {len(self.asked)} failed.", brief="refused", full=True)


async def refused(link: Link) -> DatabaseUnavailable:
    with pytest.raises(DatabaseUnavailable) as caught:
        async with link.use():
            pass
    return caught.value


async def test_who_asks_too_early_meets_the_last_failure() -> None:
    nobody = Nobody()
    link = Link(nobody.connect)
    for _ in range(5):
        error = await refused(link)
        assert (str(error), error.brief, error.full) == ("Attempt 1 failed.", "refused", True)
    link.retry_now()
    assert str(await refused(link)) == "Attempt 2 failed."


async def test_attempts_come_further_and_further_apart() -> None:
    nobody = Nobody()
    link = Link(nobody.connect)
    while len(nobody.asked) < 4:
        await refused(link)
        await anyio.sleep(0.01)
    gaps = [after - before for before, after in zip(nobody.asked, nobody.asked[1:], strict=False)]
    assert all(gap >= BACKOFF_FIRST_S / 2 * 2**i for i, gap in enumerate(gaps)), gaps
    assert BACKOFF_MOST_S > BACKOFF_FIRST_S
