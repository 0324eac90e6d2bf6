"""What a pass has found so far, and where it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pgbackfill.database.steps import Walked
from pgbackfill.keyset.key import KeyText


@dataclass(frozen=True, slots=True)
class Page:
    """What was found between two keys. `keys`: rows that the job promised and has missed, in key order."""

    end: KeyText | None
    rows: int
    later: int
    keys: Sequence[KeyText]


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows looked at; wrong ones that the job promised; wrong ones that were born or written since.

    `ordinal` and `cursor` tell where the next page begins; `spans` what a repair has to walk again, each as ordinal,
    relation, first and last key, and how many are wrong there.
    """

    rows: int = 0
    mismatches: int = 0
    later: int = 0
    ordinal: int = -1
    cursor: KeyText | None = None
    spans: tuple[tuple[int, int, KeyText, KeyText, int], ...] = ()
    adjacent: bool = False
    """Whether the last page had mismatches."""

    @classmethod
    def read(cls, state: dict[str, Any]) -> Tally:
        """From the JSON of a step."""
        if "rows" not in state:
            return cls()
        cursor = state["cursor"]
        spans = tuple((o, r, tuple(first), tuple(last), count) for o, r, first, last, count in state["spans"])
        return cls(**state | {"cursor": None if cursor is None else tuple(cursor), "spans": spans})

    def written(self) -> dict[str, Any]:
        """As the JSON of a step."""
        return asdict(self)

    def add(self, walked: Walked, page: Page) -> Tally:
        """After one more page of `walked`."""
        spans = self.spans
        if page.keys:
            first, last, count = page.keys[0], page.keys[-1], len(page.keys)
            # Wrong pages in a row are walked again as one: their number must not grow with the table.
            if spans and spans[-1][0] == walked.ordinal and self.adjacent:
                first, count = spans[-1][2], count + spans[-1][4]
                spans = spans[:-1]
            spans = (*spans, (walked.ordinal, walked.relation, first, last, count))
        return replace(
            self,
            rows=self.rows + page.rows,
            mismatches=self.mismatches + len(page.keys),
            later=self.later + page.later,
            ordinal=walked.ordinal,
            cursor=page.end or walked.upper_key,
            spans=spans,
            adjacent=bool(page.keys),
        )

    def repairs(self) -> list[Walked]:
        """What a repair has to walk again."""
        return [
            Walked(ordinal, relation, first, True, last, count) for ordinal, relation, first, last, count in self.spans
        ]
