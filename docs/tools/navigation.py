"""Lets an entry of `nav` in mkdocs.yml be a pattern: every page that it fits and that no other entry names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Called by mkdocs with its configuration."""
    named = set(_paths(config.nav))
    config.nav = _expanded(config.nav, Path(config.docs_dir), named)
    return config


def _paths(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from _paths(inner)


def _expanded(entries: list[Any], folder: Path, named: set[str]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and "*" in entry:
            pages = sorted(path.relative_to(folder).as_posix() for path in folder.glob(entry))
            found += [page for page in pages if page not in named]
        elif isinstance(entry, dict):
            ((title, inner),) = entry.items()
            found.append({title: _expanded(inner, folder, named) if isinstance(inner, list) else inner})
        else:
            found.append(entry)
    return found
