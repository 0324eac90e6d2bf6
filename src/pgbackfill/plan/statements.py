"""The statements of one chunk in their order, as the worker will send them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pgbackfill.control.options import PacingOptions
from pgbackfill.control.sizer import FIRST_CHUNK_ROWS
from pgbackfill.jobs.job import Job
from pgbackfill.keyset import session
from pgbackfill.keyset.key import Lower
from pgbackfill.keyset.statement import Change, Form

_EXAMPLE = "…"
"""Stands for the text of a key, which is bound and not part of the statement."""


@dataclass(frozen=True, slots=True)
class Step:
    """`why` is for people; `sql` has its bound values as $1, $2."""

    why: str
    sql: str


def of_chunk(job: Job, change: Change, form: Form, options: PacingOptions) -> list[Step]:
    """Between a key and a later one; the number of rows is that of the first chunk."""
    key = (_EXAMPLE,) * len(change.key)
    after = Lower(key, inclusive=False)
    begin = session.begin(
        options, search_path=job.search_path, time_zone=job.time_zone, session_settings=job.session_settings
    )
    rows = min(max(FIRST_CHUNK_ROWS, options.chunk_min_rows), options.chunk_max_rows)
    steps = [
        Step("the settings of a chunk, all of them each time", begin.replace("; ", ";\n")),
        Step("lock the range and read how far it has come", "SELECT * FROM pgbackfill.begin_chunk($1, $2, $3)"),
        Step("the key that ends the chunk", change.boundary(after, key, rows).sql),
    ]
    if form is Form.RANGE:
        steps.append(Step("change the rows between the two keys", change.change_range(after, key, measured=False).sql))
    elif form is Form.LOCKED_RANGE:
        steps += [
            Step("lock what needs a change, in key order", change.lock_and_count(after, key, measured=False).sql),
            Step("change the same rows", change.change_range(after, key, measured=False).sql),
        ]
    else:
        arrays = [[_EXAMPLE] for _ in change.key]
        steps += [
            Step("lock what needs a change, in key order", change.lock_and_list(after, key).sql),
            Step("change exactly those rows", change.change_joined(arrays, measured=False).sql),
        ]
    return [
        *steps,
        Step("store how far it has come", "SELECT pgbackfill.end_chunk($1, $2, $3, …)"),
        Step("work and progress together", "COMMIT"),
    ]
