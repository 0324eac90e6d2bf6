"""A job's own options on top of a daemon's settings."""

from __future__ import annotations

import pytest

from pgbackfill.control.options import ORDERED, PacingOptions


@pytest.mark.parametrize(
    ("settings", "own", "expected"),
    [
        ({"lag_hard_s": 3}, {"lag_soft_s": 4}, {"lag_soft_s": 3, "lag_hard_s": 3}),
        ({"lag_soft_s": 3}, {"lag_hard_s": 2}, {"lag_soft_s": 2, "lag_hard_s": 2}),
        ({"chunk_max_rows": 500}, {"chunk_min_rows": 1000}, {"chunk_min_rows": 500, "chunk_max_rows": 500}),
        ({"chunk_min_rows": 100}, {"chunk_max_rows": 10}, {"chunk_min_rows": 10, "chunk_max_rows": 10}),
        ({"latency_hard_ratio": 2}, {"latency_soft_ratio": 2.5}, {"latency_soft_ratio": 2, "latency_hard_ratio": 2}),
        ({"duty_max": 0.5}, {"duty_max": None, "chunk_target_ms": 50.0}, {"duty_max": 0.5, "chunk_target_ms": 50}),
    ],
)
def test_what_contradicts_a_setting_is_lowered_to_the_limit(
    settings: dict[str, float], own: dict[str, float | None], expected: dict[str, float]
) -> None:
    found = PacingOptions.model_validate(settings).with_own(own)
    assert {name: getattr(found, name) for name in expected} == expected


def test_any_option_that_a_job_may_have_goes_with_any_setting_that_a_daemon_may_have() -> None:
    fields = PacingOptions.model_fields
    for low, high in ORDERED:
        bound = next(rule.le for rule in fields[low].metadata if hasattr(rule, "le"))
        daemon = PacingOptions.model_validate({low: 2, high: 2})
        assert getattr(daemon.with_own({low: bound}), low) == 2
