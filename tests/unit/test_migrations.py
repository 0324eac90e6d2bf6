"""The migrations as text."""

from __future__ import annotations

from pgbackfill.database.migrate import migration_sql, migrations


def test_migrations_are_numbered_without_gaps() -> None:
    assert list(migrations()) == list(range(1, len(migrations()) + 1))


def test_the_script_is_one_statement_with_every_step_in_order() -> None:
    script = migration_sql()
    assert script.count("$pgbackfill$") == 2
    assert script.rstrip().endswith("$pgbackfill$;")
    places = [script.index(text) for text in migrations().values()]
    assert places == sorted(places)
    assert all("$pgbackfill" not in text for text in migrations().values())
