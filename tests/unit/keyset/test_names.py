"""Quoting: what goes in comes out, whatever it is."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pgbackfill.keyset.names import quote_identifier, quote_literal
from pgbackfill.keyset.session import quote_setting

names = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)


@given(names)
def test_an_identifier_is_one_token_that_reads_back(name: str) -> None:
    quoted = quote_identifier(name)
    assert re.fullmatch(r'"(?:[^"]|"")+"', quoted)
    assert quoted[1:-1].replace('""', '"') == name


@given(names | st.just(""))
def test_a_literal_is_one_token_that_reads_back(value: str) -> None:
    quoted = quote_literal(value)
    if "\\" in value:  # an escape string means the same whatever standard_conforming_strings is
        assert re.fullmatch(r" E'(?:[^'\\]|''|\\\\)*'", quoted)
        assert quoted[3:-1].replace("''", "'").replace("\\\\", "\\") == value
    else:
        assert re.fullmatch(r"'(?:[^']|'')*'", quoted)
        assert quoted[1:-1].replace("''", "'") == value


def test_a_setting_of_an_extension_has_two_names() -> None:
    assert quote_setting("work_mem") == '"work_mem"'
    assert quote_setting('app.te"nant') == '"app"."te""nant"'
