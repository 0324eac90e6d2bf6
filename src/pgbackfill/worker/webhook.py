"""Tells people by webhook what happened to a job. A task and a connection of its own: no chunk ever waits for it."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import anyio
import asyncpg
import httpx
import structlog

from pgbackfill.database import jobs, notifications, reports
from pgbackfill.database.link import Link, lost
from pgbackfill.database.notifications import Notification
from pgbackfill.database.types import Connection
from pgbackfill.errors import PgbackfillError, UsageError
from pgbackfill.redact import remember

from .context import Context
from .notice import notice

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
"""As often as the roster looks at the jobs."""


class _NotSent(Exception):
    """Why, without the address."""


class Webhook:
    """One per daemon. Several share the work: what one has claimed the others leave alone until it had its time."""

    def __init__(self, context: Context, link: Link) -> None:
        self._context = context
        self._link = link
        self._client: httpx.AsyncClient | None = None
        self._failing: str | None = None

    async def run(self) -> None:
        """Until cancelled. Where no address is configured nothing is looked at."""
        try:
            while True:
                await self.look()
                await anyio.sleep(LOOK_EVERY_S)
        finally:
            if self._client is not None:
                with anyio.CancelScope(shield=True):
                    await self._client.aclose()

    async def look(self) -> None:
        """Notes what is new, and sends what is due."""
        settings = self._context.settings.webhook
        try:
            url = settings.read_url()
            if url is None:
                return
            remember(url, urlsplit(url).path)
            async with self._link.use() as connection:
                await notifications.note(connection, settings.on, held_s=settings.held_s)
                while (told := await notifications.claim(connection, timeout_s=settings.timeout_s)) is not None:
                    await self._tell(connection, told, url)
        except UsageError as error:
            self._fails(str(error))
        except Exception as error:
            if not (lost(error) or isinstance(error, asyncpg.PostgresError | PgbackfillError)):
                raise
            log.debug("notifications not looked at", error=str(error))  # the roster says it aloud

    async def flush(self) -> None:
        """One more look before the process ends: the end of its last job is news as well."""
        with anyio.move_on_after(self._context.settings.webhook.timeout_s):
            await self.look()

    async def _tell(self, connection: Connection, told: Notification, url: str) -> None:
        job = await reports.progress_of(connection, told.job)
        try:
            await self._send(url, notice(told, job))
        except _NotSent as error:
            self._context.metrics.notification("given_up" if told.last_attempt else "retry")
            if told.last_attempt:
                log.error("notification given up", job=told.job, kind=told.kind, error=str(error))
                await jobs.note(connection, told.job_id, "notification_given_up", kind=told.kind, reason=str(error))
            self._fails(str(error))
            return
        await notifications.sent(connection, told)
        self._context.metrics.notification("sent")
        log.info("notification sent", job=told.job, kind=told.kind)
        self._failing = None

    async def _send(self, url: str, content: dict[str, object]) -> None:
        timeout_s = self._context.settings.webhook.timeout_s
        try:
            if self._client is None:
                # Reading a hundred certificates takes a while, in which the loop would serve no lane.
                trust = await anyio.to_thread.run_sync(ssl.create_default_context)
                self._client = httpx.AsyncClient(verify=trust)
            answer = await self._client.post(url, json=content, timeout=timeout_s)
        except httpx.TimeoutException:
            raise _NotSent(f"the webhook did not answer within {timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _NotSent(f"the webhook cannot be reached: {str(error) or type(error).__name__}") from None
        if not answer.is_success:
            raise _NotSent(f"the webhook answered {answer.status_code}")

    def _fails(self, error: str) -> None:
        """Once on entry: what fails is tried again."""
        if self._failing != error:
            self._failing = error
            log.warning("notification not sent", error=error, hint="it is tried again for about half an hour")
