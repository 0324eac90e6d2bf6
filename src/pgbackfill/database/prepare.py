"""Cuts a started job into ranges, once every transaction that is older than its start has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from pgbackfill.errors import JobFailed
from pgbackfill.jobs.job import Job
from pgbackfill.keyset.cuts import BLOCKS_LEAST, Piece, cut, share_out
from pgbackfill.keyset.key import KeyText, Lower
from pgbackfill.keyset.milestones import milestones
from pgbackfill.keyset.statement import Change

from . import catalog
from .boundaries import sample
from .catalog import Walk
from .queries import load
from .types import Connection

BLOCKS_PER_LEAF_LEAST = 30
"""Of every leaf, however many there are: some 1500 rows."""


async def waits_for(connection: Connection, job: Job) -> str | None:
    """Why the upper bound cannot be read yet, or None.

    A row that an open transaction inserted below the bound would be missed, so the bound waits for every transaction
    that is older than the job's start. The reason names the session, prepared transaction or database.
    """
    sql = load("jobs")
    if await connection.fetchval(sql["old_transactions_ended"], job.id):
        return None
    row = await connection.fetchrow(sql["oldest_blocker"])
    if row is None:
        return "old_transaction about to end"
    age = f" open for {row['age_s']:.0f}s" if row["age_s"] is not None else ""
    if row["gid"] is not None:
        return f"old_transaction prepared {row['gid']!r}{age}"
    elsewhere = f" in database {row['datname']}" if row["datname"] and row["datname"] != row["here"] else ""
    return f"old_transaction pid {row['pid']}{elsewhere}{age}"


@dataclass(frozen=True, slots=True)
class _Walk:
    """The walk of one leaf. `upper` is None where it has no row, `rows` is the planner's estimate."""

    relation: int
    change: Change
    lower: Lower | None
    upper: KeyText | None
    rows: int


@dataclass(frozen=True, slots=True)
class Ranges:
    """The walks of a job, and how each is cut: its pieces, and the milestones of each."""

    walks: list[_Walk]
    cuts: list[tuple[list[Piece], list[list[KeyText]]]]


async def prepare(control: Connection, work: Connection, job: Job, *, parallelism: int = 1) -> int:
    """Reads the bounds of every leaf and stores them as ranges, one a leaf, or about four a lane in all; how many.

    0 where another daemon has done it or is at it. Raises JobFailed when there is nothing to walk by.
    """
    return await store(control, job, await survey(work, job, parallelism=parallelism))


async def survey(work: Connection, job: Job, *, parallelism: int, first: Walk | None = None) -> Ranges:
    """The first half of `prepare`: reads the bounds. `first` is what was just found out about the first leaf."""
    walks = [await _walk(work, job, relation, first) for relation in await catalog.leaves(work, job.relation)]
    ranges = share_out(parallelism, [walk.rows for walk in walks])
    cuts = []
    everything = max(1, sum(walk.rows for walk in walks))
    for walk, wanted in zip(walks, ranges, strict=True):
        blocks = None
        if len(walks) > 1 and parallelism == 1:
            # Each leaf by its share: together a thousand blocks say as much as of a single table.
            blocks = max(BLOCKS_PER_LEAF_LEAST, round(BLOCKS_LEAST * walk.rows / everything))
        cuts.append(await _pieces(work, job, walk, wanted, blocks))
    return Ranges(walks, cuts)


async def store(control: Connection, job: Job, ranges: Ranges) -> int:
    """The second half: stores the ranges, all of them or, where another daemon was faster, none."""
    rows = [
        row
        for walk, (pieces, parts) in zip(ranges.walks, ranges.cuts, strict=True)
        for row in _rows(walk, pieces, parts)
    ]
    document = json.dumps([row | {"ordinal": ordinal} for ordinal, row in enumerate(rows)])
    stored: int = await control.fetchval(load("ranges")["store_ranges"], job.id, document)
    return stored


async def _walk(work: Connection, job: Job, relation: int, first: Walk | None) -> _Walk:
    known = first is not None and first.relation == relation
    change = first.change if first and known else await catalog.describe_change(work, job, relation)
    if change is None or len(change.key) != len(job.key_columns):
        raise JobFailed(f"table {job.table_name} or its key was dropped before the job began; enqueue it again")
    lower = Lower(job.from_key, inclusive=True) if job.from_key else None
    async with catalog.rolled_back(work, job):
        last = change.last_key(lower, job.to_key)
        row = await work.fetchrow(last.sql, *last.arguments)
        if row is None:
            return _Walk(relation, change, lower, None, 0)
        estimate = change.count_estimate(lower, job.to_key)
        plan = json.loads(await work.fetchval(estimate.sql, *estimate.arguments))[0]["Plan"]
        return _Walk(relation, change, lower, tuple(row), max(1, int(plan["Plan Rows"])))


async def _pieces(
    work: Connection, job: Job, walk: _Walk, wanted: int, blocks: int | None
) -> tuple[list[Piece], list[list[KeyText]]]:
    """The ranges of a leaf, and the milestones of each. What was sampled is true however old the statistics are."""
    if walk.upper is None:
        return [], []
    try:
        async with catalog.rolled_back(work, job):
            found = await sample(work, walk.change, walk.relation, walk.lower, walk.upper, wanted, blocks)
    except asyncpg.QueryCanceledError:  # a time-out of the login: the work can be done without knowing how much it is
        return [Piece(walk.upper, walk.rows)], [[]]
    pieces = cut(found, walk.upper, wanted)
    return pieces, milestones(found, pieces)


def _rows(walk: _Walk, pieces: list[Piece], parts: list[list[KeyText]]) -> Iterator[dict[str, Any]]:
    """Each range begins after the last key of the one before, so a row that was not sampled is in one of them, too."""
    lower, inclusive = walk.lower.key if walk.lower else None, True
    bounds: list[tuple[KeyText | None, int]] = [(piece.upper, piece.rows) for piece in pieces]
    for (upper, rows), keys in zip(bounds or [(None, 0)], parts or [[]], strict=True):
        yield {
            "relation": walk.relation,
            "lower_key": lower,
            "lower_inclusive": inclusive,
            "upper_key": upper,
            "rows": rows,
            "parts": keys,
        }
        lower, inclusive = upper, False
