"""Looks for keys at which a walk can be cut: in a sample of the table's blocks, never by reading a large table."""

from __future__ import annotations

from pgbackfill.keyset.cuts import Sample, blocks_wanted, wider_share
from pgbackfill.keyset.key import KeyText, Lower
from pgbackfill.keyset.sample import read_sample, sampled_keys
from pgbackfill.keyset.statement import Change

from .queries import load
from .types import Connection

USUAL_ROWS_PER_BLOCK = 50
"""Where a table was never analyzed."""


async def sample(
    work: Connection,
    change: Change,
    relation: int,
    lower: Lower | None,
    upper: KeyText,
    ranges: int,
    blocks_most: int | None = None,
) -> Sample:
    """Keys of the walk (`lower`, `upper`] of the table with the oid `relation`, for about `ranges` ranges.

    A table of few blocks is read, of a large one a sample. Where that hardly met the walk, which is then a small part
    of the table, a larger sample is taken, or the walk is read by its key index: whichever is less to read.
    """
    table = await work.fetchrow(load("catalog")["relation_blocks"], relation)
    blocks, rows_per_block = table or (0, None)
    share = min(1.0, (blocks_most or blocks_wanted(ranges)) / max(1, blocks))
    found = await _look(work, change, lower, upper, share)
    if share == 1 or found.serves(ranges, rows_per_block or USUAL_ROWS_PER_BLOCK):
        return found
    wider = wider_share(found, share, blocks, ranges, rows_per_block or USUAL_ROWS_PER_BLOCK)
    return await _look(work, change, lower, upper, wider)


async def _look(work: Connection, change: Change, lower: Lower | None, upper: KeyText, share: float | None) -> Sample:
    """Reads `share` of the table's blocks; None: the walk by its index."""
    statement = sampled_keys(change, lower, upper, 100 * share if share is not None else None)
    rows = await work.fetch(statement.sql, *statement.arguments)
    return read_sample(rows, len(change.key), share or 1)
