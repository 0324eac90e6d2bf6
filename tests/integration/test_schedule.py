"""Windows, dependencies and approval: what is refused, what is said, when a job is held and goes on."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest
from support.field import Field, eventually

TABLE = (
    "CREATE TABLE t1 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
    "INSERT INTO t1 SELECT generate_series(1, 200)",
    "CREATE TABLE t2 (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
)
WHY = "SELECT hold_reason FROM pgbackfill.progress WHERE name = $1"

Case = tuple[list[str], str, str, str | None]

# Hours, time zone, a moment, and what is said then; None: the job may run.
MOMENTS: list[Case] = [
    (["22:00-06:00"], "Europe/Berlin", "2024-01-10 20:59:59+00", "opens 22:00 Europe/Berlin"),
    (["22:00-06:00"], "Europe/Berlin", "2024-01-10 21:00:00+00", None),
    (["22:00-06:00"], "Europe/Berlin", "2024-01-11 04:59:59+00", None),
    (["22:00-06:00"], "Europe/Berlin", "2024-01-11 05:00:00+00", "opens 22:00 Europe/Berlin"),
    # Summer time: an hour earlier in UTC.
    (["22:00-06:00"], "Europe/Berlin", "2024-07-10 20:00:00+00", None),
    (["22:00-06:00"], "Europe/Berlin", "2024-07-11 04:00:00+00", "opens 22:00 Europe/Berlin"),
    # A span that goes over midnight belongs to the day on which it begins: Friday's ends on Saturday morning.
    (["Mon-Fri 22:00-06:00"], "UTC", "2024-01-13 05:59+00", None),
    (["Mon-Fri 22:00-06:00"], "UTC", "2024-01-13 23:00+00", "opens Mon 22:00 UTC"),
    (["Mon-Fri 22:00-06:00"], "UTC", "2024-01-15 03:00+00", "opens 22:00 UTC"),
    (["Sat,Sun 00:00-24:00", "Mon-Fri 22:00-06:00"], "UTC", "2024-01-14 23:59:59+00", None),
    (["Sat,Sun 00:00-24:00", "Mon-Fri 22:00-06:00"], "UTC", "2024-01-15 00:00+00", "opens 22:00 UTC"),
    (["Sat-Mon 01:00-02:00"], "UTC", "2024-01-16 01:30+00", "opens Sat 01:00 UTC"),
    (["fri-mon 01:00-02:00"], "UTC", "2024-01-15 01:30+00", None),
    # The clocks go forward at 02:00 on 31 March: 02:30 does not exist and is 03:30; the span until 03:00 is not there.
    (["02:30-04:00"], "Europe/Berlin", "2024-03-31 01:29:59+00", "opens 03:30 Europe/Berlin"),
    (["02:30-04:00"], "Europe/Berlin", "2024-03-31 01:30:00+00", None),
    (["02:30-04:00"], "Europe/Berlin", "2024-03-31 02:00:00+00", "opens 02:30 Europe/Berlin"),
    (["02:00-03:00"], "Europe/Berlin", "2024-03-31 00:59:59+00", "opens 02:00 Europe/Berlin"),
    (["02:00-03:00"], "Europe/Berlin", "2024-03-31 01:00:00+00", "opens 02:00 Europe/Berlin"),
    (["Sun 02:00-03:00"], "Europe/Berlin", "2024-03-31 00:30:00+00", "opens Sun 02:00 Europe/Berlin"),
    (["22:00-06:00"], "Europe/Berlin", "2024-03-31 03:59:59+00", None),
    (["22:00-06:00"], "Europe/Berlin", "2024-03-31 04:00:00+00", "opens 22:00 Europe/Berlin"),
    # They go back at 03:00 on 27 October: 02:30 comes twice, and the second one counts.
    (["22:00-02:30"], "Europe/Berlin", "2024-10-27 00:45:00+00", None),
    (["22:00-02:30"], "Europe/Berlin", "2024-10-27 01:29:59+00", None),
    (["22:00-02:30"], "Europe/Berlin", "2024-10-27 01:30:00+00", "opens 22:00 Europe/Berlin"),
    (["02:30-05:00"], "Europe/Berlin", "2024-10-27 00:45:00+00", "opens 02:30 Europe/Berlin"),
    (["02:30-05:00"], "Europe/Berlin", "2024-10-27 01:30:00+00", None),
    # Half an hour of summer time, and a zone whose day is another one.
    (["Mon 01:00-02:00"], "Australia/Lord_Howe", "2024-01-14 14:30+00", None),
    (["Sun 20:00-21:00"], "Pacific/Honolulu", "2024-01-15 06:30+00", None),
]


async def test_hours_are_judged_in_their_time_zone(database: Any) -> None:
    connection = await database.connect()
    for time_zone in ("UTC", "Asia/Kathmandu"):  # that of the session is nobody's business
        await connection.execute(f"SET TimeZone = '{time_zone}'")
        for hours, zone, moment, said in MOMENTS:
            windows = json.dumps({"hours": hours, "time_zone": zone})
            found = await connection.fetchval(
                "SELECT pgbackfill.outside($1::text::jsonb, $2::text::timestamptz)", windows, moment
            )
            assert found == (said and f"outside_window {said}"), (hours, zone, moment)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"windows": "[]"}, "windows", "must be a JSON object such as"),
    ({"windows": {}}, "windows", 'must have "hours" or "only_while"'),
    (
        {"windows": {"hours": ["22:00-06:00"], "timezone": "UTC"}},
        "windows",
        'has no field "timezone"; there are time_zone',
    ),
    ({"windows": {"hours": "22:00-06:00"}}, "windows", "hours must be a list of texts"),
    ({"windows": {"hours": []}}, "windows", "hours must be a list of texts"),
    ({"windows": {"hours": ["22:00-06:00"]}}, "windows", 'hours need a time_zone such as "Europe/Berlin"'),
    ({"windows": {"hours": ["22:00-06:00"], "time_zone": "Europe/Bern"}}, "windows", 'no time zone "Europe/Bern"'),
    ({"windows": {"hours": ["22:00-06:00"], "time_zone": "CEST"}}, "windows", 'no time zone "CEST"'),
    ({"windows": {"hours": ["25:00-06:00"], "time_zone": "UTC"}}, "windows", '"25:00-06:00" is no span of hours'),
    ({"windows": {"hours": ["6-22"], "time_zone": "UTC"}}, "windows", '"6-22" is no span of hours'),
    ({"windows": {"hours": ["Mo-Fr 22:00-06:00"], "time_zone": "UTC"}}, "windows", "is no span of hours"),
    ({"windows": {"hours": ["Mon-Fry 22:00-06:00"], "time_zone": "UTC"}}, "windows", "is no span of hours"),
    ({"windows": {"hours": ["06:00-06:00"], "time_zone": "UTC"}}, "windows", "is no span of hours"),
    ({"windows": {"hours": [7], "time_zone": "UTC"}}, "windows", '"7" is no span of hours'),
    ({"windows": {"only_while": ["load"]}}, "windows", '"load" is no condition on a signal'),
    ({"windows": {"only_while": ["load < many"]}}, "windows", "is no condition on a signal"),
    ({"after": ["nothing"]}, "after", 'there is no job "nothing"; insert it first'),
    ({"after": ["job"]}, "after", "must not name the job itself"),
    ({"after": [None]}, "after", "must be a list of names of jobs"),
    ({"approve": None}, "approve", "must not be null"),
]


async def test_what_means_nothing_is_refused_at_insert(shop: Any) -> None:
    for row, column, said in REFUSED:
        error = await shop.refusal(set_clause="n = 1", **row)
        assert error.column_name == column, row
        assert said in error.message, row
    assert await shop.untouched()


async def test_changes_are_checked_like_inserts_and_circles_refused(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    for name, after in (("a", []), ("b", ["a"]), ("c", ["b"])):
        await field.enqueue(name=name, table_name="t1", after=after)
    with pytest.raises(
        asyncpg.InvalidParameterValueError, match="after: would make a circle: a after c after b after a"
    ):
        await field.execute("UPDATE pgbackfill.jobs SET after = '{c}' WHERE name = 'a'")
    with pytest.raises(asyncpg.InvalidParameterValueError, match="windows: must have"):
        await field.execute("""UPDATE pgbackfill.jobs SET windows = '{}' WHERE name = 'a'""")
    with pytest.raises(asyncpg.InvalidParameterValueError, match="approve: cannot be changed after INSERT"):
        await field.execute("UPDATE pgbackfill.jobs SET approve = true WHERE name = 'a'")
    enqueuer = await database.connect(await database.login("pgbackfill_enqueuer"))
    await enqueuer.execute("UPDATE pgbackfill.jobs SET after = '{}', windows = NULL WHERE name = 'b'")
    assert await field.events("after", "b") == [{"from": ["a"], "to": []}]


@pytest.mark.newest
async def test_jobs_run_in_the_order_of_their_dependencies(database: Any) -> None:
    field = await Field.open(database, *TABLE, "INSERT INTO t2 SELECT generate_series(1, 100)")
    await field.enqueue(name="first", table_name="t1")
    await field.enqueue(name="second", table_name="t2", after=["first"], priority=9)
    await field.enqueue(name="third", table_name="t2", after=["first", "second"], priority=10)
    assert await field.value(WHY, "second") == "waits_for job first"
    assert await field.drain() == 0
    order = "SELECT array_agg(name ORDER BY started_at) FROM pgbackfill.jobs"
    assert await field.value(order) == ["first", "second", "third"]
    assert await field.value(
        "SELECT (SELECT finished_at FROM pgbackfill.jobs WHERE name = 'first')"
        " <= (SELECT started_at FROM pgbackfill.jobs WHERE name = 'second')"
    )


@pytest.mark.newest
async def test_what_waits_for_good_is_left_by_a_draining_daemon_and_said(
    database: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(name="wrong", table_name="t1", set_clause="n = 1 / (n - n)", options={"max_quarantined": 0})
    await field.enqueue(name="after-wrong", table_name="t2", after=["wrong"])
    await field.enqueue(name="gone", table_name="t2", desired_state="cancel")
    await field.enqueue(name="after-gone", table_name="t2", after=["gone"])
    await field.enqueue(name="approved-later", table_name="t2", approve=True)
    await field.enqueue(name="night", table_name="t2", windows=await closed_hours(field))
    assert await field.drain() == 1
    said = {
        "after-wrong": "waits_for job wrong, which has failed",
        "after-gone": "waits_for job gone, which has been cancelled",
        "approved-later": "waits_for approval",
        "night": await field.value(WHY, "night"),
    }
    assert said["night"].startswith("outside_window opens ")
    for name, reason in said.items():
        assert await field.value(WHY, name) == reason
    left = [line for line in capfd.readouterr().out.splitlines() if "job left" in line]
    assert [name for name in said if not any(f"job={name}" in line for line in left)] == []
    await field.execute("DELETE FROM pgbackfill.jobs WHERE name = 'gone'")
    assert await field.value(WHY, "after-gone") == "waits_for job gone, which no longer exists"


async def closed_hours(field: Field) -> dict[str, Any]:
    """Of a window that is closed now and for hours."""
    hour = int(await field.value("SELECT extract(hour FROM now() AT TIME ZONE 'UTC')"))
    return {"hours": [f"{(hour + 8) % 24:02}:00-{(hour + 9) % 24:02}:00"], "time_zone": "UTC"}


async def test_a_job_begins_when_it_is_approved(database: Any) -> None:
    field = await Field.open(database, *TABLE)
    await field.enqueue(table_name="t1", approve=True)
    await field.enqueue(name="plain", table_name="t2", desired_state="pause")
    enqueuer = await database.connect(await database.login("pgbackfill_enqueuer"))
    viewer = await database.connect(await database.login("pgbackfill_viewer"))
    assert await viewer.fetchval(WHY, "job") == "waits_for approval"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await viewer.fetchval("SELECT pgbackfill.approve('job')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await enqueuer.execute("UPDATE pgbackfill.jobs SET approved_at = now()")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match='job "plain" needs no approval'):
        await enqueuer.fetchval("SELECT pgbackfill.approve('plain')")
    with pytest.raises(asyncpg.NoDataFoundError):
        await enqueuer.fetchval("SELECT pgbackfill.approve('nothing')")
    async with field.daemon():
        await enqueuer.fetchval("SELECT pgbackfill.approve('job')")
        await enqueuer.fetchval("SELECT pgbackfill.approve('job')")
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.progress WHERE name = 'job'"))
    assert await field.events("approved") == [{}]
    login = await enqueuer.fetchval("SELECT session_user")
    assert await field.value("SELECT approved_by FROM pgbackfill.jobs WHERE name = 'job'") == login
    assert await field.value("SELECT actor FROM pgbackfill.events WHERE event = 'approved'") == login


@pytest.mark.newest
async def test_a_running_job_is_held_outside_its_hours_and_goes_on_within_them(
    database: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    field = await Field.open(database, *TABLE, "INSERT INTO t2 SELECT generate_series(1, 10)")
    await field.enqueue(table_name="t1", options={"chunk_max_rows": 1, "max_rows_per_s": 50})
    async with field.daemon(max_concurrent_jobs=1):
        await eventually(lambda: field.value("SELECT sum(n) > 3 FROM t1"))
        await field.execute("UPDATE pgbackfill.jobs SET windows = $1", json.dumps(await closed_hours(field)))
        await eventually(lambda: field.value("SELECT lease_until IS NULL FROM pgbackfill.ranges"))
        held = await field.progress()
        assert (held["status"], held["hold_reason"][:21]) == ("running", "outside_window opens ")
        stood = await field.value("SELECT sum(n) FROM t1")
        # It takes no place: another job runs meanwhile, and nothing of this one.
        await field.enqueue(name="other", table_name="t2")
        await eventually(
            lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.progress WHERE name = 'other'")
        )
        assert await field.value("SELECT sum(n) FROM t1") == stood
        open_now = {"hours": ["00:00-12:00", "12:00-00:00"], "time_zone": "UTC"}
        await field.execute(
            "UPDATE pgbackfill.jobs SET windows = $1, options = '{}' WHERE name = 'job'", json.dumps(open_now)
        )
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.progress WHERE name = 'job'"))
    assert await field.rows("SELECT n, count(*) FROM t1 GROUP BY 1") == [(1, 200)]
    log = capfd.readouterr().out
    assert log.count("reason='outside_window opens") == 2, "once on entry, once on recovery"


@pytest.mark.newest
async def test_a_job_runs_only_while_a_signal_allows_it(database: Any) -> None:
    field = await Field.open(database, *TABLE, "CREATE TABLE load AS SELECT 120 AS value")
    signal = {"name": "checkout_load", "sql": "SELECT value FROM load", "interval_s": 0.5}
    await field.enqueue(table_name="t1", windows={"only_while": ["checkout_load < 100"]})
    await field.enqueue(name="other", table_name="t2", windows={"only_while": ["no_such_signal > 1"]})
    async with field.daemon(custom_sql=(signal,)):
        await eventually(
            lambda: field.value("SELECT hold_reason = $1 FROM pgbackfill.progress WHERE name = 'job'",
                                "outside_window checkout_load 120, runs while < 100")
        )  # fmt: skip
        said = "outside_window no_such_signal is no signal of this daemon"
        await eventually(lambda: field.value(f"SELECT ({WHY.replace('$1', '$2')}) = $1", said, "other"))
        assert await field.value("SELECT sum(n) FROM t1") == 0
        await field.execute("UPDATE load SET value = 80")
        await eventually(lambda: field.value("SELECT status = 'succeeded' FROM pgbackfill.progress WHERE name = 'job'"))
    assert await field.value(WHY, "job") is None
