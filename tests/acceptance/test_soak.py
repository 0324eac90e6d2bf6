"""Many jobs leave nothing open in a daemon and nothing between states; `make soak` has 5,000 of them."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.processes import open_files

ROUNDS = 4
TABLES = 4
LOOKS = 25
"""So often in a row the number of open files is the same: the daemon is at rest."""


async def test_jobs_and_pauses_come_and_go_and_leave_no_file_open(site: Any, until: Any) -> None:
    for number in range(TABLES):
        await site.table(f"t{number}", 5)
    daemon = await site.running(max_concurrent_jobs=TABLES)
    looks: list[int] = []

    async def at_rest() -> int | None:
        looks.append(open_files(daemon.process.pid))
        return looks[-1] if len(set(looks[-LOOKS:])) == 1 and len(looks) >= LOOKS else None

    async def round_of_jobs(number: int) -> int:
        for table in range(TABLES):
            # The first chunks are slow: only then does the daemon look who waits for them, by one more connection.
            slowly = "n = n + 1 + (pg_sleep(0.05) IS NULL)::int" if number == 0 else "n = n + 1"
            state = "pause" if table == 0 else "run"
            await site.enqueue(f"job-{number}-{table}", f"t{table}", set_clause=slowly, desired_state=state)
        await site.want(f"job-{number}-0", "run")
        await site.true("SELECT count(*) = 0 FROM pgbackfill.jobs WHERE status <> 'succeeded'")
        looks.clear()
        files: int = await until(at_rest, "the daemon is at rest")
        return files

    after = [await round_of_jobs(number) for number in range(ROUNDS)]
    assert set(after[1:]) == {after[0]}
    for number in range(TABLES):
        assert await site.connection.fetchval(f"SELECT count(*) FROM t{number} WHERE n <> {ROUNDS}") == 0
