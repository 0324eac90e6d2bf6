"""A handler that waits as for a service, and can do nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio

from pgbackfill.handlers import Call, Row, handler


@handler(reads=["n"])
async def sleeping(rows: list[Row], params: Mapping[str, Any], call: Call) -> list[dict[str, Any]]:
    await anyio.sleep(params["seconds"])
    return [{"n": row["n"] + 1} for row in rows]
