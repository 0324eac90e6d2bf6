"""The application in front of the shop: a process of its own, so that what it measures is the database's latency.

Reads PGBACKFILL_DEMO_DSN and PGBACKFILL_DEMO_ROWS, runs until it is killed, and writes one JSON list of latencies in
milliseconds a line, several lines a second.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from pgbackfill.demo.connection import connected

CLIENTS = 8
TRANSACTIONS_PER_S = 200
SHARE_OF_UPDATES = 0.3
REPORT_INTERVAL_S = 0.2

READ = """
SELECT o.status, o.ordered_at, o.summary, i.line, i.quantity, p.name
FROM orders o JOIN order_items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id WHERE o.id = $1
"""
UPDATE = "UPDATE orders SET visits = visits + 1, status = $2 WHERE id = $1"


async def _arrivals(due: MemoryObjectSendStream[float]) -> None:
    """Transactions arrive when they arrive: a slow database must not lower the rate at which it is asked."""
    next_s = time.perf_counter()
    while True:
        next_s += random.expovariate(TRANSACTIONS_PER_S)
        if (wait_s := next_s - time.perf_counter()) > 0:
            await anyio.sleep(wait_s)
        await due.send(time.perf_counter())


async def _client(dsn: str, rows: int, due: MemoryObjectReceiveStream[float], latencies_ms: list[float]) -> None:
    async with connected(dsn, application_name="shop") as connection:
        read, update = await connection.prepare(READ), await connection.prepare(UPDATE)
        async for arrived_s in due:
            order = random.randint(1, rows)
            if random.random() < SHARE_OF_UPDATES:
                await update.fetch(order, random.choice(("shipped", "returned")))
            else:
                await read.fetch(order)
            latencies_ms.append((time.perf_counter() - arrived_s) * 1000)


async def _report(latencies_ms: list[float]) -> None:
    while True:
        await anyio.sleep(REPORT_INTERVAL_S)
        batch, latencies_ms[:] = list(latencies_ms), []
        sys.stdout.write(json.dumps([round(value, 3) for value in batch]) + "\n")
        sys.stdout.flush()


async def run(dsn: str, rows: int) -> None:
    latencies_ms: list[float] = []
    # Bounded, for a database that stands still; by far more than a second of it is noticed otherwise.
    send, receive = anyio.create_memory_object_stream[float](max_buffer_size=10 * TRANSACTIONS_PER_S)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_arrivals, send)
        tasks.start_soon(_report, latencies_ms)
        for _ in range(CLIENTS):
            tasks.start_soon(_client, dsn, rows, receive.clone(), latencies_ms)


if __name__ == "__main__":
    anyio.run(run, os.environ["PGBACKFILL_DEMO_DSN"], int(os.environ["PGBACKFILL_DEMO_ROWS"]))
