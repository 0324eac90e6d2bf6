"""Signals as an operator meets them: in the settings, over HTTP, and read again on SIGHUP."""

from __future__ import annotations

import json
import signal
from typing import Any

LAST = 'soft = 1\nhard = 2\nunit = " mails"\ninterval_s = 0.5\n'


async def shown(daemon: Any, name: str) -> list[dict[str, Any]]:
    status, text = await daemon.get("/api/v1/signals")
    assert status == 200, text
    return [row for row in json.loads(text)["signals"] if row["name"] == name]


async def test_a_signal_of_ones_own_comes_and_goes_with_the_settings(site: Any, until: Any) -> None:
    await site.connection.execute("CREATE TABLE mails AS SELECT 3 AS waiting")
    await site.slow_job("long", "users")
    config = site.folder / "pgbackfill.toml"
    config.write_text("")
    daemon = await site.running("--config", str(config), http__enabled="true", http__port=0)
    await site.chunks("long")
    assert await shown(daemon, "mail_queue") == []
    config.write_text(f'[[custom_sql]]\nname = "mail_queue"\nsql = "SELECT waiting FROM mails"\n{LAST}')
    daemon.send(signal.SIGHUP)
    held = await site.held("long", "mail_queue ")
    assert held["hold_reason"] == "mail_queue 3 mails > 2 mails"
    (row,) = await shown(daemon, "mail_queue")
    assert (row["value"], row["soft"], row["hard"], row["level"]) == (3, 1, 2, "hard")
    series = {
        'pgbackfill_signal_value{signal="mail_queue"}': 3,
        'pgbackfill_signal_limit{level="hard",signal="mail_queue"}': 2,
        'pgbackfill_hold{reason="mail_queue"}': 1,
    }

    async def exposed() -> bool:
        return series.items() <= (await daemon.metrics()).items()

    await until(exposed, "its series")
    config.write_text("custom_sql = [")
    daemon.send(signal.SIGHUP)
    await daemon.logged("settings not re-read")
    config.write_text("")
    daemon.send(signal.SIGHUP)
    await daemon.logged("hold ended", job="long")

    async def gone() -> bool:
        return await shown(daemon, "mail_queue") == [] and "mail_queue" not in (await daemon.get("/metrics"))[
            1
        ].replace('reason="mail_queue"', "")

    await until(gone, "it is not watched any more")


async def test_a_replica_dsn_that_cannot_be_read_ends_the_start(site: Any) -> None:
    done = await site.cli("run", "--drain", replica_dsns="postgresql://replica/shop?nothing=1")
    assert done.returncode == 2
    assert "nothing" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
