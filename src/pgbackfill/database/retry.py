"""Runs quarantined rows again, each alone, through the same chunk transaction as any other row."""

from __future__ import annotations

from typing import Any

from pgbackfill.keyset.explain import ChangeReport
from pgbackfill.keyset.key import KeyText, Lower

from .chunk import ChunkTransaction
from .outcome import Stage


class RetryChunk(ChunkTransaction):
    """One quarantined row a chunk. With the row's change its entry is removed, so it happens once; where the row fails
    again, its entry says why this time, and the walk goes on behind it.

    The range has no keys of its own: what comes next is the next entry of the quarantine of the range that it repeats.
    """

    aside = "quarantine_row_again"

    async def _one(self, cursor: KeyText | None) -> KeyText | None:
        self.stage = Stage.FIND
        key = await self.connection.fetchval(
            f"{self.change.comment}SELECT pgbackfill.next_quarantined($1, $2, $3)",
            self.claim.range_id, self.claim.epoch, self.claim.token,
        )  # fmt: skip
        return tuple(key) if key is not None else None

    async def _work(self, lower: Lower | None, rows: int) -> tuple[KeyText | None, int, ChangeReport | None]:
        self._end_key = key = await self._one(None)
        if key is None:
            return None, 0, None
        return key, 1, await self._apply(Lower(key, inclusive=True), key, 1)

    def _finishes(self, end: KeyText | None) -> bool:
        return end is None

    async def _store(self, *values: Any) -> None:
        key, _, changed, wal, _, chunk_ms, _, _, lease_s, finished = values
        await self._end(
            "pgbackfill.end_retry($1,$2,$3,$4,$5,$6,$7,$8,$9)", key, changed, wal, chunk_ms, lease_s, finished
        )
