"""An examination on one screen: what needs somebody comes first and in full, what is in order in one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pgbackfill.redact import redact

from .examination import Check, Finding, Level


def text(checks: Sequence[Check]) -> str:
    """Worst first; below each finding the command."""
    order = list(Level)
    troubled = sorted((check for check in checks if check.level is not Level.FINE), key=lambda c: order.index(c.level))
    blocks = []
    for check in troubled:
        lines = [check.title]
        for finding in sorted(check.findings, key=lambda finding: order.index(finding.level)):
            lines += _lines(finding)
        blocks.append("\n".join(lines))
    fine = [check for check in checks if check.level is Level.FINE]
    if fine:
        seen = [f"  {'fine':<8} {finding.what}" for check in fine for finding in check.findings]
        blocks.append("\n".join([f"In order: {', '.join(check.title.lower() for check in fine)}", *seen]))
    return redact("\n\n".join([*blocks, _verdict(checks)]))


def document(checks: Sequence[Check]) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "healthy": healthy(checks),
        "checks": [
            {
                "check": check.title,
                "level": str(check.level),
                "findings": [
                    {"level": str(finding.level), "what": finding.what, "fix": finding.fix}
                    for finding in check.findings
                ],
            }
            for check in checks
        ],
    }


def healthy(checks: Sequence[Check]) -> bool:
    """No problem, and nothing that could not be looked at."""
    return all(check.level not in (Level.PROBLEM, Level.UNKNOWN) for check in checks)


def _lines(finding: Finding) -> list[str]:
    fix = [f"           do: {finding.fix}"] if finding.fix else []
    return [f"  {finding.level:<8} {finding.what}", *fix]


def _verdict(checks: Sequence[Check]) -> str:
    counts = {level: sum(f.level is level for check in checks for f in check.findings) for level in Level}
    said = [
        f"{counts[level]} {word}{'s' if counts[level] != 1 and level is not Level.UNKNOWN else ''}"
        for level, word in ((Level.PROBLEM, "problem"), (Level.UNKNOWN, "unknown"), (Level.WARNING, "warning"))
        if counts[level]
    ]
    return ", ".join(said) + "." if said else "Nothing needs anybody."
