"""An examination on one screen."""

from __future__ import annotations

from pgbackfill.doctor.examination import Check, Finding, Level
from pgbackfill.doctor.text import document, healthy, text

FINE = Check("Replicas", (Finding(Level.FINE, "b is streaming, 0 bytes to replay"),))
NONE = Check("Archive", ())
OLD = Check("Long transactions", (Finding(Level.WARNING, "pid 7 is active", "SELECT pg_cancel_backend(7)"),))
BROKEN = Check(
    "Invalid indexes",
    (
        Finding(Level.FINE, "all others are valid"),
        Finding(Level.PROBLEM, "index i is not valid", "REINDEX INDEX CONCURRENTLY i"),
    ),
)
HIDDEN = Check("Blocked sessions", (Finding(Level.UNKNOWN, "cannot be seen", "GRANT pg_monitor TO me"),))

SCREEN = """\
Invalid indexes
  problem  index i is not valid
           do: REINDEX INDEX CONCURRENTLY i
  fine     all others are valid

Blocked sessions
  unknown  cannot be seen
           do: GRANT pg_monitor TO me

Long transactions
  warning  pid 7 is active
           do: SELECT pg_cancel_backend(7)

In order: replicas, archive
  fine     b is streaming, 0 bytes to replay

1 problem, 1 unknown, 1 warning."""


def test_the_worst_comes_first_and_what_is_in_order_last() -> None:
    assert text([FINE, OLD, NONE, HIDDEN, BROKEN]) == SCREEN


def test_nothing_wrong_is_said_in_a_sentence() -> None:
    assert text([FINE, NONE]).endswith("Nothing needs anybody.")


def test_a_warning_is_healthy_and_what_cannot_be_seen_is_not() -> None:
    assert healthy([FINE, NONE, OLD])
    assert not healthy([FINE, BROKEN])
    assert not healthy([FINE, HIDDEN])


def test_scripts_get_every_finding() -> None:
    told = document([FINE, BROKEN])
    assert told["healthy"] is False
    assert [(check["check"], check["level"]) for check in told["checks"]] == [
        ("Replicas", "fine"),
        ("Invalid indexes", "problem"),
    ]
    assert told["checks"][1]["findings"][1]["fix"] == "REINDEX INDEX CONCURRENTLY i"


def test_passwords_in_a_query_are_masked() -> None:
    seen = Check("Long transactions", (Finding(Level.PROBLEM, "last: ALTER ROLE a PASSWORD 'hunter2222'"),))
    assert "hunter2222" not in text([seen])
