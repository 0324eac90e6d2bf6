"""Where a chunk ends without looking, on a key whose last column is an integer.

On a single integer key, `rows` keys further on are at most `rows` rows: keys are unique, so the range
(cursor, cursor + rows] can never hold too many. Where the key has gaps it holds too few, so the guess is used only
where the last chunk was found dense; elsewhere the boundary is scanned for. Scanning costs a fiftieth of a chunk that
changes every row, and two fifths of one that changes hardly any.

On a composite key, (tenant, id) say, the rows of a tenant lie among those of all others. The scan visits a page a
row, because the chunks of other tenants have just dirtied them: two fifths of a chunk that changes every row. So there
a chunk goes as far as the density of the last one promises. Where a tenant ends, the next one's density is learned
from chunks of few rows, so that only those are scanned for. A stretch that is suddenly dense holds more rows than were
asked for: such a chunk has the shorter time-out of one that looks far, and after it the boundary is scanned for again.
"""

from __future__ import annotations

from .key import KeyColumn, KeyText, Lower

LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}

EQUAL_TEXTS = frozenset({*LARGEST, "uuid", "date", "text"})
"""Types of leading columns: equal values have equal texts, so the texts tell whether two keys share a tenant."""

DENSE = 0.5
"""Rows per key value below which scanning for the boundary is cheaper than chunks half empty. Of a single integer."""

FULL = 0.5
"""A guess that found less than this share of its rows has come to the end of its tenant, or to a gap."""

FROM_ROWS = 500
"""Chunks smaller than the first are so for a reason: there one row too many is too many."""

LEARN_ROWS = 2000
"""Enough of a tenant to tell its density; of the some 10,000 rows of a chunk whose boundary would be scanned for."""

LEARN_CHUNKS = 2
"""The chunk that enters a tenant and the first one inside it. Tenants that end within these are not worth learning."""


class Stride:
    """Remembers how dense the last chunk was. One per walk; forgetting it costs one boundary scan."""

    def __init__(self, key: tuple[KeyColumn, ...]) -> None:
        *leading, last = key
        self._largest = LARGEST.get(last.type_name)
        self._possible = self._largest is not None and all(column.type_name in EQUAL_TEXTS for column in leading)
        self._single = not leading
        self._density: float | None = None
        self._learning = 0
        """How many of the next chunks are kept short to learn a density again."""

    @property
    def daring(self) -> bool:
        """Whether the next guess may hold more rows than are asked for."""
        return not self._single and self._density is not None

    def guess(self, lower: Lower | None, upper: KeyText, rows: int) -> KeyText | None:
        """The end of a chunk of about `rows` rows (of a single integer: at most), never beyond `upper`; None: scan."""
        if self._density is None or self._largest is None or lower is None or lower.inclusive:
            return None
        if not self._single and rows < FROM_ROWS:
            return None
        *tenant, last = lower.key
        within = tuple(tenant) == upper[:-1]
        step = rows if self._single else int(rows / self._density)
        end = min(int(last) + step, int(upper[-1]) if within else self._largest)
        return (*tenant, str(end)) if end > int(last) or within else None

    def to_scan(self, rows: int) -> int:
        """How many rows to scan for, where there is no guess and `rows` would be a chunk."""
        return min(rows, LEARN_ROWS) if self._learning else rows

    def learn(self, lower: Lower | None, end: KeyText, rows: int, *, asked: int | None = None) -> None:
        """Take in that the chunk from `lower` to `end` held `rows` rows, `asked` being how many a guess should have."""
        if not self._possible or lower is None or len(lower.key) != len(end):
            return
        distance = int(end[-1]) - int(lower.key[-1])
        density = rows / distance if lower.key[:-1] == end[:-1] and distance > 0 else 0.0
        if self._single:
            self._density = density if density >= DENSE else None
        else:
            full = asked is None or rows >= FULL * asked
            known = full and rows >= FROM_ROWS and density > 0
            if known:
                self._learning = 0
            else:
                self._learning = LEARN_CHUNKS if self._density is not None else max(0, self._learning - 1)
            self._density = density if known else None

    def failed(self) -> None:
        """A chunk was rolled back: guess no further than can be known."""
        if not self._single:
            self._density, self._learning = None, 0
