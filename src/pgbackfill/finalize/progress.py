"""How much of a statement is done, by the phase that its progress view names. Pure."""

from __future__ import annotations

_PHASES: dict[str, tuple[float, float]] = {
    "initializing": (0.0, 0.0),
    "waiting for writers before build": (0.0, 0.0),
    "building index": (0.0, 0.6),
    "waiting for writers before validation": (0.6, 0.6),
    "index validation: scanning index": (0.6, 0.7),
    "index validation: sorting tuples": (0.7, 0.8),
    "index validation: scanning table": (0.8, 0.97),
    "waiting for old snapshots": (0.97, 0.97),
    "waiting for readers before marking dead": (0.97, 0.97),
    "waiting for readers before dropping": (0.99, 0.99),
    "scanning heap": (0.0, 0.6),
    "vacuuming indexes": (0.6, 0.8),
    "vacuuming heap": (0.8, 0.9),
    "cleaning up indexes": (0.9, 1.0),
    "acquiring sample rows": (0.0, 0.8),
    "acquiring inherited sample rows": (0.0, 0.8),
    "computing statistics": (0.8, 1.0),
    "computing extended statistics": (0.9, 1.0),
}
"""Which part of the whole a phase of CREATE INDEX CONCURRENTLY, VACUUM or ANALYZE is, from where to where.

Rough: sorting and reading cost alike on some tables and not on others. What is not named says nothing of the whole.
"""


def share(
    phase: str | None,
    blocks_done: int | None = None,
    blocks_total: int | None = None,
    tuples_done: int | None = None,
    tuples_total: int | None = None,
) -> float | None:
    """0 to 1, or None. Blocks and tuples are the progress view's; a total of 0 means that it is not known."""
    found = _PHASES.get((phase or "").split(": ")[0]) if phase not in _PHASES else _PHASES[phase]
    if found is None:
        return None
    first, last = found
    parts = [
        done / total for done, total in ((blocks_done, blocks_total), (tuples_done, tuples_total)) if done and total
    ]
    return first + (last - first) * min(1.0, max(parts, default=0.0))
