"""The two ends of every chunk transaction: the range row is locked at its beginning and stored at its end."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import asyncpg

from pgbackfill.control.options import PacingOptions
from pgbackfill.errors import LeaseLost
from pgbackfill.jobs.job import Claim, Job
from pgbackfill.keyset import milestones, session
from pgbackfill.keyset.key import Arguments, KeyText, Lower
from pgbackfill.keyset.statement import Change, Statement

from .outcome import Backend, CommitRefused, LeafMoved, Stage
from .types import Connection


class Bracket:
    """Opens transactions on one claimed range, and ends them with its progress. What happens in between is not its
    business; which statement is under way is, so that whoever watches can tell."""

    def __init__(self, connection: Connection, job: Job, claim: Claim, change: Change, *, lease_s: float) -> None:
        self.connection = connection
        self.job = job
        self.claim = claim
        self.change = change
        self.lease_s = lease_s
        self.last_sql = ""
        """The statement under way, for the error of a job that fails."""
        self.stage = Stage.BEGIN
        self.backend: Backend | None = None
        """While the transaction is open and its COMMIT has not been sent."""
        self.yields_to: str | None = None
        """Who made it necessary to cancel this chunk, once somebody has."""
        self._ahead = claim.milestones
        self._opening: tuple[PacingOptions, str] | None = None

    async def _begin(self, options: PacingOptions) -> tuple[KeyText | None, str | None]:
        self.stage, self.yields_to = Stage.BEGIN, None
        await self.connection.execute(self._opened(options))
        row = await self.connection.fetchrow(
            f"{self.change.comment}SELECT *, pg_catalog.pg_backend_pid() AS pid,"
            " pg_catalog.pg_current_xact_id()::text AS xid FROM pgbackfill.begin_chunk($1, $2, $3)",
            self.claim.range_id, self.claim.epoch, self.claim.token,
        )  # fmt: skip
        if row is None:
            raise LeaseLost(
                f"range {self.claim.range_id} of job {self.job.name} is held by somebody else, or the job has ended"
            )
        self.backend = Backend(row["pid"], row["xid"], perf_counter())
        cursor = tuple(row["cursor_key"]) if row["cursor_key"] is not None else None
        return cursor, row["desired_state"] if row["desired_state"] != "run" else None

    def _opened(self, options: PacingOptions) -> str:
        """The query that opens a chunk: the same for all of a job until somebody changes an option."""
        if self._opening is None or self._opening[0] != options:
            query = session.begin(
                options,
                search_path=self.job.search_path,
                time_zone=self.job.time_zone,
                session_settings=self.job.session_settings,
                lease_s=self.lease_s,
            )
            self._opening = options, query
        return self._opening[1]

    def _lower(self, cursor: KeyText | None) -> Lower | None:
        if cursor is not None:
            return Lower(cursor, inclusive=False)
        return Lower(self.claim.lower_key, self.claim.lower_inclusive) if self.claim.lower_key else None

    async def _end(self, call: str, *values: Any, end: Sequence[str] | None = None) -> None:
        claim, self.stage = self.claim, Stage.STORE
        arguments = Arguments([claim.range_id, claim.epoch, claim.token, *values])
        passed = milestones.passed(self.change.key, end, self._ahead, arguments) if end is not None else "0"
        stored = await self.connection.fetchrow(
            f"{self.change.comment}SELECT number, {self.change.relation_oid}, p.passed"
            f" FROM (SELECT {passed} AS passed) AS p, LATERAL {call} AS number",
            *arguments.values,
        )
        if stored is None:
            raise LeaseLost(f"range {claim.range_id} of job {self.job.name} was taken over inside a chunk")
        if stored[1] != claim.relation:  # our statements hold locks on whatever carries the name, so this is final
            raise LeafMoved(self.change.relation)
        self.stage, self.backend = Stage.COMMIT, None
        answer = await self.connection.execute("COMMIT")
        if answer != "COMMIT":
            raise CommitRefused(f"COMMIT answered {answer}")
        self._ahead = self._ahead[stored[2] :]

    async def _rollback(self) -> None:
        self.backend = None
        if not self.connection.is_closed() and self.connection.is_in_transaction():
            await self.connection.execute("ROLLBACK")

    async def _fetch(self, statement: Statement) -> asyncpg.Record | None:
        self.last_sql = statement.sql
        return await self.connection.fetchrow(statement.sql, *statement.arguments)

    async def _required(self, statement: Statement) -> asyncpg.Record:
        row = await self._fetch(statement)
        assert row is not None, "an aggregate or EXPLAIN always answers a row"
        return row
