"""The SQL of a sync trigger, word for word. PGBACKFILL_WRITE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from pgbackfill.dualwrite.assignments import assignments
from pgbackfill.dualwrite.statements import NAME_BYTES, SyncTrigger, trigger_name

GOLDEN = Path(__file__).parent / "golden.sql"


def test_the_sql_of_a_trigger() -> None:
    plain = SyncTrigger(
        name="users-email-lower",
        schema="public",
        relation='"public"."users"',
        assignments=assignments("email_lower = lower(email) -- lower"),
        search_path="public, pg_temp",
        settings={"TimeZone": "UTC", "app.tenant": "it's"},
    )
    odd = SyncTrigger(
        name="odd",
        schema='My "Schema"',
        relation='"My ""Schema"""."t"',
        assignments=assignments("\"Ä\" = '$pgbackfill$', b = (SELECT max(x) FROM y)"),
        search_path='"My ""Schema""", pg_temp',
        settings={},
        condition="country = 'DE' -- only",
    )
    text = "\n\n".join(f"{one.create_function()};\n\n{one.create_trigger()};" for one in (plain, odd)) + "\n"
    if os.environ.get("PGBACKFILL_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_a_name_is_the_same_every_time_fits_postgres_and_stays_different() -> None:
    assert trigger_name("users-email-lower") == "zz_pgbackfill_sync_users-email-lower"
    long = ["x" * 200, "x" * 199 + "y"]
    names = [trigger_name(name) for name in long]
    assert len({*names}) == 2
    assert all(len(name.encode()) <= NAME_BYTES for name in names)
