"""A job that makes far fewer rows than it once did pauses itself, says so, and can be resumed."""

from __future__ import annotations

from typing import Any

# Twenty times dearer from the 3000th row on; pg_sleep answers void, whose text is empty.
SET_CLAUSE = "n = n + 1 + length(pg_sleep(CASE WHEN t.id > 3000 THEN 0.02 ELSE 0.0003 END)::text)"


async def test_a_job_that_became_slow_pauses_itself_and_resumes(site: Any) -> None:
    await site.table("users", 50_000)
    options = {"throughput_floor_s": 0.5, "chunk_target_ms": 50}
    await site.enqueue("long", "users", set_clause=SET_CLAUSE, options=options)
    daemon = await site.running()
    paused = await site.reaches("long", "paused")
    assert paused["desired_state"] == "pause"
    assert paused["hold_reason"].startswith("throughput ")
    assert " rows/s < 10% of " in paused["hold_reason"]
    assert paused["hold_since"] is not None
    assert paused["rows_scanned"] > 3000
    await daemon.logged("job paused by itself", reason=paused["hold_reason"])
    noted = await site.connection.fetchval(
        "SELECT detail ->> 'reason' FROM pgbackfill.events WHERE event = 'throughput_floor'"
    )
    assert noted == paused["hold_reason"]
    await site.connection.fetchval("SELECT pgbackfill.resume('long')")
    await site.true(
        "SELECT rows_scanned > $1 + 100 AND hold_reason IS NULL FROM pgbackfill.progress", paused["rows_scanned"]
    )
    await site.want("long", "cancel")
    await site.reaches("long", "cancelled")
