"""What the author of a handler imports: `handler` registers a coroutine, `Call` tells it about its job.

from pgbackfill.handlers import Call, Row, TryLater, handler

@handler(reads=("address",))
async def geocode(rows: list[Row], params: Mapping[str, Any], call: Call) -> list[Mapping[str, Any] | None]:
    ...
"""

from __future__ import annotations

from .call import Call, Row, TryLater
from .registry import Handler, Handlers, handler

__all__ = ["Call", "Handler", "Handlers", "Row", "TryLater", "handler"]
