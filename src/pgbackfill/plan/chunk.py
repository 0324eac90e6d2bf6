"""The worker's chunk transaction, rolled back where it would store how far it has come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pgbackfill.control.options import PacingOptions
from pgbackfill.database.chunk import ChunkTransaction
from pgbackfill.database.outcome import Stage
from pgbackfill.database.types import Connection
from pgbackfill.jobs.job import Claim, Job
from pgbackfill.keyset import session
from pgbackfill.keyset.explain import ChangeReport
from pgbackfill.keyset.key import KeyText, Lower

from .walk import Walk


class SampleChunk(ChunkTransaction):
    """A chunk that begins where it is told, needs no claim, and ends in ROLLBACK."""

    report: ChangeReport | None = None

    def begin_at(self, lower: Lower | None) -> None:
        """None: at the first row of the table."""
        key, inclusive = (lower.key, lower.inclusive) if lower is not None else (None, True)
        self.claim = replace(self.claim, lower_key=key, lower_inclusive=inclusive)
        self.report = None

    async def begin(self, options: PacingOptions) -> None:
        """Opens a chunk's transaction."""
        job = self.job
        await self.connection.execute(
            session.begin(
                options, search_path=job.search_path, time_zone=job.time_zone, session_settings=job.session_settings
            )
        )

    async def rollback(self) -> None:
        await self._rollback()

    async def _begin(self, options: PacingOptions) -> tuple[KeyText | None, str | None]:
        self.stage = Stage.BEGIN
        await self.begin(options)
        return None, None

    async def _apply(self, lower: Lower | None, end: KeyText, rows: int) -> ChangeReport | None:
        self.report = await super()._apply(lower, end, rows)
        return self.report

    async def _store(self, *values: Any) -> None:
        await self._rollback()


def opened(work: Connection, job: Job, walk: Walk) -> SampleChunk:
    assert walk.upper is not None
    claim = Claim(
        range_id=0, job_id=job.id, ordinal=0, relation=walk.relation, epoch=0, token=b"", lower_key=None,
        upper_key=walk.upper,
    )  # fmt: skip
    return SampleChunk(work, job, claim, walk.change, walk.form, lease_s=0.0)
