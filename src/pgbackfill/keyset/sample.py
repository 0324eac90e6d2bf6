"""The SQL that looks for keys at which a walk can be cut."""

from __future__ import annotations

from .key import Arguments, KeyText, Lower, key_range
from .statement import Change, Statement

KEYS_MAX = 1024
"""Keys that are sent: four for each of the most ranges that a job can have, some 40 kB of uuids."""


def sampled_keys(change: Change, lower: Lower | None, upper: KeyText, percent: float | None) -> Statement:
    """Every k-th key of the walk as text, with its rank and the number of rows seen, in key order.

    Looks at the rows of `percent` of the table's blocks, chosen at random; None: at every row of the walk.
    """
    arguments = Arguments()
    condition = key_range(change.key, lower, upper, arguments)
    # A key's own name may be that of another column here.
    keys = ", ".join(f"t.{column.quoted} AS k{i}" for i, column in enumerate(change.key))
    texts = ", ".join(f"k.k{i}::text" for i in range(len(change.key)))
    order = ", ".join(f"t.{column.quoted}" for column in change.key)
    sample = f" TABLESAMPLE SYSTEM ({percent:.10f})" if percent is not None else ""
    return Statement(
        f"{change.comment}SELECT {texts}, k.rank, k.seen"
        f" FROM (SELECT {keys}, row_number() OVER (ORDER BY {order}) AS rank, count(*) OVER () AS seen"
        f" FROM ONLY {change.relation} AS t{sample} WHERE {condition}) AS k"
        f" WHERE k.rank % greatest(k.seen / {KEYS_MAX}, 1) = 0 ORDER BY k.rank",
        tuple(arguments.values),
    )
