"""What every chunk sets before anything else."""

from __future__ import annotations

from pgbackfill.control.options import PacingOptions
from pgbackfill.keyset import session


def _begin(**settings: object) -> list[str]:
    options = PacingOptions(lock_timeout_ms=77, statement_timeout_ms=888, synchronous_commit="off")
    return session.begin(
        options, search_path='"My App", public', time_zone="Asia/Tokyo", session_settings=settings
    ).split("; ")


def test_a_chunk_sets_all_it_depends_on_for_itself_alone() -> None:
    first, *rest = _begin()
    assert first == "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    assert rest == [
        "SET LOCAL \"lock_timeout\" = '77'",
        "SET LOCAL \"statement_timeout\" = '888'",
        "SET LOCAL \"idle_in_transaction_session_timeout\" = '10000'",
        "SET LOCAL \"plan_cache_mode\" = 'force_custom_plan'",
        "SET LOCAL \"synchronous_commit\" = 'off'",
        "SET LOCAL \"enable_seqscan\" = 'off'",
        "SET LOCAL \"enable_bitmapscan\" = 'off'",
        "SET LOCAL \"row_security\" = 'off'",
        "SET LOCAL \"TimeZone\" = 'Asia/Tokyo'",
        "SET LOCAL \"DateStyle\" = 'ISO, YMD'",
        "SET LOCAL \"IntervalStyle\" = 'iso_8601'",
        "SET LOCAL \"bytea_output\" = 'hex'",
        "SET LOCAL \"extra_float_digits\" = '1'",
        "SELECT pg_catalog.set_config('search_path', '\"My App\", public', true)",
        "SET CONSTRAINTS ALL IMMEDIATE",
    ]


def test_an_open_chunk_ends_with_a_lease_that_is_shorter() -> None:
    began = session.begin(PacingOptions(), search_path="public", time_zone="UTC", lease_s=5)
    assert "SET LOCAL \"idle_in_transaction_session_timeout\" = '5000'" in began


def test_the_jobs_own_settings_come_last_and_quoted() -> None:
    own = [
        line for line in _begin(**{"app.tenant": "it's 5", "row_security": True, "work_mem": 64}) if "SET LOCAL" in line
    ]
    assert own[-2:] == ["SET LOCAL \"app\".\"tenant\" = 'it''s 5'", "SET LOCAL \"work_mem\" = '64'"]
    assert "SET LOCAL \"row_security\" = 'on'" in own
    assert "SET LOCAL \"row_security\" = 'off'" not in own
