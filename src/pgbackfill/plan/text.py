"""A plan as plain text, and as Markdown for a pull request. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pgbackfill.redact import redact

from .sections import Section


def text(sections: Sequence[Section]) -> str:
    """Titles at the margin, everything below them indented; names in one column."""
    width = max((len(name) for section in sections for name, _ in section.facts), default=0)
    blocks = []
    for section in sections:
        lines = [f"{name:<{width}}  {value}" for name, value in section.facts] + section.notes
        lines += [line for sql in section.sql for line in sql.splitlines()]
        blocks.append("\n".join([section.title, *(f"  {line}".rstrip() for line in lines)]))
    return redact("\n\n".join(blocks))


def markdown(sections: Sequence[Section]) -> str:
    """Headings, tables and code blocks; long SQL is folded."""
    blocks = []
    for section in sections:
        blocks.append(f"### {section.title}")
        if section.facts:
            rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in section.facts]
            blocks.append("\n".join(["| | |", "|---|---|", *rows]))
        if section.notes:
            blocks.append("\n".join(f"- {note}" for note in section.notes))
        if section.sql:
            code = "\n".join(["```sql", *section.sql, "```"])
            folded = len(section.sql) > 5
            blocks.append(f"<details><summary>SQL</summary>\n\n{code}\n\n</details>" if folded else code)
    return redact("\n\n".join(blocks))


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
