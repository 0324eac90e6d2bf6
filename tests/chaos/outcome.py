"""What a course has shown, and the table of all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from benchmarks.harness.report import table

from .heat import TAKEOVER_S


@dataclass
class Outcome:
    """`notes` counts what the rounds were made of, such as the statements at which they struck."""

    course: str
    rounds: int = 0
    lost: int = 0
    repeated: int = 0
    takeovers: list[float] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    broken: str | None = None
    seconds: float = 0.0

    @property
    def worst_s(self) -> float | None:
        """The longest takeover, None where none was measured."""
        return max(self.takeovers, default=None)

    @property
    def verdict(self) -> str:
        """`kept`, or the promise that was broken."""
        if self.broken is not None:
            return "BROKEN, see above"
        if self.lost or self.repeated:
            return "ROWS WRONG"
        if self.worst_s is not None and self.worst_s > TAKEOVER_S:
            return f"LATE, over {TAKEOVER_S:.0f} s"
        return "kept"


def report(outcomes: list[Outcome]) -> str:
    """One line a course."""
    header = ("course", "rounds", "rows lost", "rows repeated", "worst takeover", "took", "verdict")
    rows = [
        (
            outcome.course,
            str(outcome.rounds),
            str(outcome.lost),
            str(outcome.repeated),
            "" if outcome.worst_s is None else f"{outcome.worst_s:.1f} s",
            f"{outcome.seconds:.0f} s",
            outcome.verdict,
        )
        for outcome in outcomes
    ]
    return table(header, rows)
