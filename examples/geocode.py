"""A handler that asks an HTTP service for each row: fills latitude and longitude of an address.

INSERT INTO pgbackfill.jobs (name, table_name, operation, handler, params, where_clause, options)
VALUES ('places-geocode', 'places', 'handler', 'geocode', '{"url": "https://geocoder.internal/v1/search"}',
        'latitude IS NULL', '{"handler_concurrency": 20, "max_rows_per_s": 500}');

pgbackfill run --handlers examples.geocode
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from pgbackfill.handlers import Call, Row, TryLater, handler

BUSY = {429, 502, 503, 504}
"""The service is overloaded or restarts: nothing is wrong with the row."""


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """One for all calls, so that connections are kept. The time limit of a call is pgbackfill's."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx.AsyncClient(timeout=None, limits=limits) as opened:
        yield opened


@handler(reads=["address"], uses=client)
async def geocode(rows: list[Row], params: Mapping[str, Any], call: Call) -> list[Mapping[str, Any] | None]:
    """One request a row (`handler_batch_rows` is 1 unless the job says otherwise)."""
    return [await _place(row, params["url"], call) for row in rows]


async def _place(row: Row, url: str, call: Call) -> Mapping[str, Any] | None:
    try:
        answer = await call.resource.get(url, params={"q": row["address"]})
    except httpx.TransportError as error:
        raise TryLater(f"the geocoder cannot be reached: {error or type(error).__name__}") from error
    if answer.status_code in BUSY:
        raise TryLater(f"the geocoder answers {answer.status_code}")
    if answer.status_code == 404:
        call.log.info("address unknown", id=row["id"])
        return None  # the row stays as it is
    answer.raise_for_status()  # anything else is this row's fault, and puts it into quarantine
    found = answer.json()
    return {"latitude": found["lat"], "longitude": found["lon"]}
