"""A query to Prometheus, or whatever speaks its HTTP interface: `promql`."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any

import httpx

from pgbackfill.settings_signals import Promql
from pgbackfill.settings_sources import read_secret_file
from pgbackfill.worker.context import Context

from .probe import Unreadable, Value, Watched, watch

ANSWER_MOST_BYTES = 1 << 20
"""One number is wanted; a query that answers more than this is the wrong query."""


class PromqlProbe:
    """An instant query. No sample, NaN or anything that is not a number makes the signal unknown."""

    def __init__(self, context: Context, signal: Promql) -> None:
        self._context = context
        self._signal = signal
        self._url = httpx.URL(signal.url.get_secret_value())
        self._low_is_bad = signal.soft is not None and signal.hard is not None and signal.hard < signal.soft

    async def run(self) -> None:
        """Until cancelled."""
        signal = self._signal
        watched = Watched(signal.name, signal.unit, signal.soft, signal.hard, signal.interval_s)
        # trust_env would send the query, and its token, to whatever proxy happens to be set for other programs.
        async with httpx.AsyncClient(timeout=signal.timeout_s, trust_env=False) as client:
            await watch(self._context, watched, lambda: self._read(client))

    async def _read(self, client: httpx.AsyncClient) -> Value:
        url = self._url.copy_with(path=f"{self._url.path.rstrip('/')}/api/v1/query")
        bearer = self._bearer()
        try:
            # As `auth`, because a header would give way to a user and password in the URL.
            answer = await client.get(
                url.copy_merge_params({"query": self._signal.query}), auth=bearer or httpx.USE_CLIENT_DEFAULT
            )
        except httpx.TimeoutException as error:
            raise Unreadable(f"{self._place} did not answer within {self._signal.timeout_s:g} s.") from error
        except httpx.HTTPError as error:
            raise Unreadable(f"{self._place} cannot be asked: {str(error) or type(error).__name__}.") from error
        if len(answer.content) > ANSWER_MOST_BYTES:
            raise Unreadable("The query answers more than 1 MiB; let it answer one number.")
        return self._worst(self._result(answer))

    def _bearer(self) -> Callable[[httpx.Request], httpx.Request] | None:
        if self._signal.token_file is None:
            return None
        token = read_secret_file(self._signal.token_file, "token_file")

        def signed(request: httpx.Request) -> httpx.Request:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        return signed

    @property
    def _place(self) -> str:
        """The server without user, password and parameters."""
        return f"{self._url.scheme}://{self._url.netloc.decode('ascii')}"

    def _result(self, answer: httpx.Response) -> Any:
        try:
            body = answer.json()
        except ValueError:
            raise Unreadable(f"{self._place} answers {answer.status_code} and no JSON.") from None
        if not isinstance(body, dict) or body.get("status") != "success":
            said = body.get("error", "") if isinstance(body, dict) else ""
            raise Unreadable(f"{self._place} answers {answer.status_code}: {said or 'no result'}.")
        return body.get("data")

    def _worst(self, data: Any) -> Value:
        try:
            samples: list[tuple[dict[str, str], Any]]
            if data["resultType"] == "scalar":
                samples = [({}, data["result"])]
            elif data["resultType"] == "vector":
                samples = [(one["metric"], one["value"]) for one in data["result"]]
            else:
                raise Unreadable(f"The query answers a {data['resultType']}; let it answer an instant vector.")
            values = [(float(value), labels) for labels, (_, value) in samples]
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable(f"{self._place} answers in a form that Prometheus does not have.") from error
        if not values:
            raise Unreadable("The query answers no sample.")
        if any(isnan(value) for value, _ in values):
            raise Unreadable("The query answers NaN.")
        value, labels = (min if self._low_is_bad else max)(values, key=lambda found: found[0])
        return value, _words(labels)


def _words(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name not in ("__name__", "job"))
