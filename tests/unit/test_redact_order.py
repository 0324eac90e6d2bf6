"""A secret that is also an ordinary word must not hide another one from the patterns."""

from __future__ import annotations

import pytest

from pgbackfill import redact


def test_a_remembered_word_does_not_shield_the_password_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_literals", {"postgres"})
    assert "hunter22" not in redact.redact("could not connect to postgres://app:hunter22@db/x")
