"""The worked example of docs/handlers.md, as a user would run it: against a service that is not always well."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

ROWS = 120


class Geocoder(BaseHTTPRequestHandler):
    """Knows `place N`; not `place 7`; of `place 13` it answers nonsense. The first ten requests find it overloaded."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        Geocoder.asked += 1
        number = int(parse_qs(urlsplit(self.path).query)["q"][0].removeprefix("place "))
        if Geocoder.asked <= 10:
            self._answer(503, {})
        elif number == 7:
            self._answer(404, {})
        else:
            self._answer(200, {"lat": number / 2, "lon": -number} if number != 13 else {})

    def _answer(self, status: int, content: dict[str, float]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Not into the output of the tests."""


@pytest.fixture
def service() -> Iterator[str]:
    """Its address."""
    Geocoder.asked = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Geocoder) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/search"
        server.shutdown()
        thread.join()


async def test_the_example_fills_what_the_service_knows(site: Any, service: str) -> None:
    await site.connection.execute(
        "CREATE TABLE places (id bigint PRIMARY KEY, address text, latitude float8, longitude float8);"
        f"INSERT INTO places SELECT i, 'place ' || i FROM generate_series(1, {ROWS}) AS i"
    )
    told = await site.cli(
        "enqueue", "places-geocode", "places", "--handler", "geocode", "--params", json.dumps({"url": service}),
        "--where", "latitude IS NULL", "--option", "handler_concurrency=5", "--json",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    daemon = site.daemon("--drain", "--handlers", "examples.geocode")
    assert await daemon.ended() == 0, daemon.text
    assert daemon.events("held", reason="handler_unavailable the geocoder answers 503")
    assert await site.connection.fetchval("SELECT array_agg(id) FROM places WHERE latitude IS NULL") == [7, 13]
    assert await site.connection.fetchval(
        "SELECT bool_and(latitude = id / 2.0 AND longitude = -id) FROM places WHERE latitude IS NOT NULL"
    )
    found = await site.connection.fetchrow("SELECT key, sqlstate, message FROM pgbackfill.quarantine")
    assert tuple(found) == (["13"], "PBH01", "KeyError: 'lat'")
    assert [entry["id"] for entry in daemon.events("address unknown", handler="geocode")] == [7]
    done = await site.progress("places-geocode")
    assert (done["status"], done["rows_scanned"], done["rows_changed"]) == ("succeeded", ROWS, ROWS - 2)
