"""When a job runs, as people say it on the command line and by HTTP."""

from __future__ import annotations

import json
from typing import Any


async def test_a_scheduled_job_says_what_it_waits_for_until_it_may_run(site: Any) -> None:
    await site.table("users", 50)
    await site.table("orders", 50)
    await site.enqueue("first", "orders", desired_state="pause")
    refused = await site.cli("enqueue", "job", "users", "--set", "n = n + 1", "--hours", "22-6", "--time-zone", "UTC")
    assert refused.returncode == 2
    assert refused.stderr.startswith('pgbackfill: windows: "22-6" is no span of hours; write one such as 22:00-06:00')
    told = await site.cli(
        "enqueue", "job", "users", "--set", "n = n + 1", "--hours", "00:00-24:00", "--time-zone", "Europe/Berlin",
        "--only-while", "canary_read < 1000000", "--after", "first", "--approve",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    daemon = await site.running(http__enabled="true", http__port=0)
    assert "waits_for approval" in (await site.cli("status")).stdout
    status, text = await daemon.post("/api/v1/jobs/job/approve")
    assert (status, json.loads(text)["hold_reason"]) == (200, "waits_for job first")
    assert (await site.cli("approve", "first")).stderr == 'pgbackfill: job "first" needs no approval.\n'
    await site.want("first", "run")
    await site.reaches("job", "succeeded")
    await site.changed_once("users")
