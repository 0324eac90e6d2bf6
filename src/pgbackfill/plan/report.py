"""Puts a plan together: facts, walk, sample, projection, hazards, statements, the way back. One JSON document."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

import asyncpg

from pgbackfill.control.options import PacingOptions
from pgbackfill.database import hazards, rights
from pgbackfill.database.failures import first_line
from pgbackfill.database.hazards import Hazard
from pgbackfill.database.plans import PlanGuard
from pgbackfill.database.queries import load
from pgbackfill.database.types import Connection
from pgbackfill.errors import JobFailed
from pgbackfill.jobs.failures import PASSING, classify
from pgbackfill.jobs.job import Job
from pgbackfill.keyset import session
from pgbackfill.keyset.explain import readable
from pgbackfill.keyset.key import Lower
from pgbackfill.keyset.statement import Form, Statement

from . import advice, statements
from .costs import Storage, hot_share, work_of
from .projection import Projection, project
from .samples import Sampled
from .sampling import PLACES, Sampler
from .subject import Subject
from .walk import Walk, walks

SQL_OPERATIONS = frozenset({"update", "delete", "statement", "copy"})
"""Jobs whose chunks are one SQL statement, which can be planned and sampled."""


async def plan(
    control: Connection, work: Connection, subject: Subject, options: PacingOptions, *, sample: bool
) -> dict[str, Any]:
    """`work` is a connection of the login that will run the chunks; nothing else may use it meanwhile.

    With `sample` some chunks are run and rolled back. What a chunk would be refused for becomes a hazard.
    """
    job, facts = subject.job, subject.facts
    undoable = job.kept_columns is not None
    if undoable:  # its side table comes with its first range
        job = replace(job, kept_columns=None)
        subject = replace(subject, job=job)
    result = dict(facts)
    began = time.monotonic()
    found = await _hazards(control, work, job, facts, options)
    walked = await _walked(work, subject)
    looked_s = time.monotonic() - began
    if undoable:
        found.append(Hazard("keep_old", "what undo needs is written beside each change, which no figure here includes"))
    rows = sum(walk.rows for walk in walked)
    result["rows"] = rows if walked else facts["table"]["rows"]
    result["statements"] = [asdict(step) for step in _steps(job, walked, options)]
    result["chunk_plan"], problem = await _chunk_plan(work, job, walked, options)
    found += [problem] if problem else []
    sampled, projection = None, None
    if sample and walked and problem is None:
        sampled, refusal = await _sample(control, work, job, walked, options)
        found += [refusal] if refusal else []
    if sampled is not None:
        imagined = work_of(sampled, _storage(facts), rows=rows, form=walked[0].form, looked_s=looked_s)
        projection = project(imagined, options) if imagined is not None else None
    result["sample"] = _told(sampled, facts) if sampled is not None else None
    result["projection"] = _projected(projection) if projection is not None else None
    result["disk"] = _disk(facts, projection.rows_changed if projection is not None else None)
    result["hazards"] = [asdict(hazard) | {"advice": advice.ADVICE.get(hazard.kind)} for hazard in found]
    result["way_back"] = advice.way_back(facts, undoable=undoable)
    return result


async def _walked(work: Connection, subject: Subject) -> list[Walk]:
    """Nothing where the chunks are not SQL, or the work login may not read the table, which is a hazard by then."""
    if subject.job.operation not in SQL_OPERATIONS:
        return []
    try:
        return await walks(work, subject.job, subject.leaves)
    except asyncpg.InsufficientPrivilegeError:
        return []


async def _hazards(
    control: Connection, work: Connection, job: Job, facts: dict[str, Any], options: PacingOptions
) -> list[Hazard]:
    found: list[Hazard] = []
    table = facts["table"]
    if job.operation in SQL_OPERATIONS:
        try:
            await rights.check(control, work, job)
        except JobFailed as error:
            found.append(Hazard("rights", str(error)))
    oldest = await control.fetchrow(load("plan")["oldest_transaction"])
    if oldest is not None:
        found.append(
            Hazard("old_transaction", f"pid {oldest['pid']} has written and is open for {oldest['age_s']:.0f} s")
        )
    found += await hazards.find(control, work, job, options)
    if facts["publications"]:
        found.append(Hazard("publication", f"{table['name']} is published by {', '.join(facts['publications'])}"))
    if table["logged"] is False:
        found.append(Hazard("not_logged", f"{table['name']} is unlogged"))
    if table["autovacuum"] is False:
        found.append(Hazard("autovacuum_off", f"autovacuum is off for {table['name']}: dead rows are not removed"))
    if table["rows"] is None:
        found.append(Hazard("never_analyzed", f"{table['name']} was never analyzed"))
    return found


def _steps(job: Job, walked: list[Walk], options: PacingOptions) -> list[statements.Step]:
    return statements.of_chunk(job, walked[0].change, walked[0].form, options) if walked else []


async def _chunk_plan(
    work: Connection, job: Job, walked: list[Walk], options: PacingOptions
) -> tuple[list[str] | None, Hazard | None]:
    """The plan of the change on a chunk in the middle of the largest table, and what is wrong with it."""
    if not walked:
        return None, None
    walk = max(walked, key=lambda each: each.rows)
    keys = walk.found.keys
    assert walk.upper is not None
    lower = Lower(keys[len(keys) // 2 - 1], inclusive=False) if len(keys) > 2 else walk.lower
    end = keys[len(keys) // 2] if len(keys) > 2 else walk.upper
    change = walk.change
    if walk.form is Form.JOINED:
        statement = change.change_joined([[part] for part in end], measured=False)
    else:
        statement = change.change_range(lower, end, measured=False)
    begin = session.begin(
        options, search_path=job.search_path, time_zone=job.time_zone, session_settings=job.session_settings
    )
    try:
        await work.execute(begin)
        if walk.form is not Form.RANGE:
            await work.execute(session.UNSTEER)
        await PlanGuard(work, change, walk.form).check_change(statement, 1)
        return await _explained(work, statement), None
    except JobFailed as error:
        return None, Hazard("plan", str(error))
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:
            raise
        return None, Hazard("plan", f"{first_line(error)} (SQLSTATE {error.sqlstate})")
    finally:
        if not work.is_closed():
            await work.execute("ROLLBACK")


async def _explained(work: Connection, statement: Statement) -> list[str]:
    rows = await work.fetch(f"EXPLAIN (COSTS OFF) {statement.sql}", *statement.arguments)
    return [str(readable(row[0])) for row in rows]


async def _sample(
    control: Connection, work: Connection, job: Job, walked: list[Walk], options: PacingOptions
) -> tuple[Sampled | None, Hazard | None]:
    try:
        return await Sampler(control, work, job, options).run(walked), None
    except JobFailed as error:
        return None, Hazard("plan", str(error))
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) in PASSING:
            return None, Hazard("sample", f"no sample: {first_line(error)} (SQLSTATE {error.sqlstate})")
        return None, Hazard("sample", f"a chunk failed: {first_line(error)} (SQLSTATE {error.sqlstate})")


def _storage(facts: dict[str, Any]) -> Storage:
    table = facts["table"]
    return Storage(table["heap_bytes"], table["index_bytes"], len(facts["indexes"]), bool(facts["hot"]))


def _told(sampled: Sampled, facts: dict[str, Any]) -> dict[str, Any]:
    costs = sampled.costs
    scanned, changed = sum(cost.rows_scanned for cost in costs), sum(cost.rows_changed for cost in costs)
    seconds = sum(cost.seconds for cost in costs)
    return {
        "chunks": len(costs),
        "chunks_wanted": PLACES,
        "stopped": sampled.stopped,
        "rows_scanned": scanned,
        "rows_changed": changed,
        "rows_per_second": scanned / seconds if seconds else None,
        "row_us_least": min((cost.row_s for cost in costs), default=0.0) * 1e6,
        "row_us_most": max((cost.row_s for cost in costs), default=0.0) * 1e6,
        "wal_bytes_per_changed_row": sum(cost.wal_bytes for cost in costs) / changed if changed else None,
        "lock_wal_bytes_per_row": sampled.locking.wal_bytes / sampled.locking.rows if sampled.locking else None,
        "page_images_per_changed_row": sum(cost.page_images for cost in costs) / changed if changed else None,
        "hot_ratio": hot_share(costs, len(facts["indexes"])) if facts["hot"] and changed else None,
        "places": [
            {
                "place": cost.place, "rows_scanned": cost.rows_scanned, "rows_changed": cost.rows_changed,
                "seconds": cost.seconds, "wal_bytes": cost.wal_bytes,
            }
            for cost in sorted(costs, key=lambda cost: cost.place)
        ],
    }  # fmt: skip


def _projected(projection: Projection) -> dict[str, Any]:
    seconds, wal_bytes = projection.around(projection.seconds), projection.around(projection.wal_bytes)
    return {
        "seconds": projection.seconds, "seconds_low": seconds[0], "seconds_high": seconds[1],
        "wal_bytes": projection.wal_bytes, "wal_bytes_low": wal_bytes[0], "wal_bytes_high": wal_bytes[1],
        "rows_changed": projection.rows_changed, "chunks": projection.chunks,
        "wal_bytes_per_s": projection.wal_bytes / projection.seconds if projection.seconds else None,
    }  # fmt: skip


def _disk(facts: dict[str, Any], changed: int | None) -> dict[str, Any] | None:
    """Bytes that tables and indexes may grow by until vacuum makes room; None where nothing is known.

    Low: vacuum keeps up and every update finds room on its page; high: neither.
    """
    table = facts["table"]
    rows, row_bytes = table["rows"], table["row_bytes"]
    if facts["job"]["operation"] != "update" or row_bytes is None or not rows:
        return None
    if changed is None:
        changed = round(min(facts["rows_matching"] or rows, rows))
    entries = table["index_bytes"] / rows
    return {"rows": changed, "low_bytes": 0, "high_bytes": round(changed * (row_bytes + entries))}
