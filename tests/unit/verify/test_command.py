"""What `pgbackfill verify` takes and says."""

from __future__ import annotations

import pytest

from pgbackfill.cli.verify import _percent, _sentence
from pgbackfill.errors import UsageError
from pgbackfill.verify.now import Found


@pytest.mark.parametrize(("text", "percent"), [("5%", 5), (" 0.5 % ", 0.5), ("100", 100), (None, None)])
def test_a_sample_is_a_percentage(text: str | None, percent: float | None) -> None:
    assert _percent(text) == percent


@pytest.mark.parametrize("text", ["0%", "101%", "-5", "five", "5%%", ""])
def test_anything_else_is_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(UsageError, match="as in 5%"):
        _percent(text)


def test_what_was_found_is_one_sentence() -> None:
    assert _sentence("job", Found(1000, 0, 0, 0, "primary"), None) == "job: 0 mismatches in 1,000 rows on primary."
    assert _sentence("job", Found(1000, 2, 3, 4, "standby:5432"), 5) == (
        "job: 2 mismatches in 1,000 rows, a sample of 5 %, on standby:5432; 3 more were born or written since the job"
        " began; 4 are in quarantine."
    )
    assert _sentence("job", Found(0, 0, 0, 0, "primary", "it is so"), None) == "job cannot be verified: it is so."
