"""Quoting, as Postgres reads it."""

from __future__ import annotations


def quote_identifier(name: str) -> str:
    """`name` as an SQL identifier; always quoted, so that no keyword list can be out of date."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str) -> str:
    """`value` as an SQL string literal, right under any `standard_conforming_strings`."""
    quoted = "'" + value.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted
