"""The HTTP interface over a real socket, in front of a control plane that keeps its jobs in memory."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from support.plane import TOKEN, Plane, listening

from pgbackfill.errors import UsageError
from pgbackfill.http import create_app, serve
from pgbackfill.settings import HttpSettings


async def test_reads_are_json_without_secrets_and_uncached() -> None:
    async with listening(Plane()) as client:
        index = await client.get("/api/v1")
        assert index.json()["name"] == "pgbackfill"
        for link in index.json()["links"]:
            assert (await client.get(link)).status_code == 200
        found = (await client.get("/api/v1/jobs")).json()["jobs"][0]
        assert found["percent"] == 12.5
        assert found["eta_high"] is None
        assert found["started_at"] == "2026-01-02T00:00:00+00:00"
        assert "hunter22" not in found["error"]
        one = await client.get("/api/v1/jobs/users-email")
        assert one.json() == found
        assert one.headers["cache-control"] == "no-store"
        assert one.headers["content-type"] == "application/json"
        assert "server" not in one.headers
        assert (await client.get("/api/v1/signals")).json() == {
            "signals": [{"name": "replica_lag", "value": None, "level": "unknown"}]
        }


async def test_metrics_have_the_content_type_of_prometheus_and_no_redirect() -> None:
    async with listening(Plane()) as client:
        response = await client.get("/metrics")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=")
        assert "pgbackfill_build_info{" in response.text


async def test_every_wrong_address_and_method_answers_json() -> None:
    async with listening(Plane()) as client:
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("GET", "/metrics/", 404),
            ("GET", "/api/v1/jobs/unknown", 404),
            ("POST", "/api/v1/jobs/unknown/pause", 404),
            ("POST", "/api/v1/jobs/users-email/explode", 404),
            ("POST", "/api/v1/jobs", 405),
            ("DELETE", "/api/v1/jobs/users-email", 405),
            ("GET", "/api/v1/pause", 405),
            ("POST", "/api/v1/jobs/users-email/retry", 409),
        ):
            response = await client.request(method, path)
            assert (response.status_code, path) == (status, path)
            assert response.json()["error"].endswith(".")
        assert (await client.head("/api/v1/jobs")).status_code == 200
        assert (await client.head("/api/v1/jobs")).content == b""


async def test_commands_change_the_job_and_the_process() -> None:
    plane = Plane()
    async with listening(plane) as client:
        assert (await client.post("/api/v1/jobs/users-email/pause")).json()["desired_state"] == "pause"
        assert (await client.post("/api/v1/jobs/users-email/resume", json={})).json()["desired_state"] == "run"
        plane.pauses.pause("signal")
        assert (await client.post("/api/v1/pause")).json() == {"paused_by": ["signal", "http"]}
        assert (await client.post("/api/v1/resume")).json() == {"paused_by": ["signal"]}


async def test_with_a_token_only_its_bearer_may_post() -> None:
    plane = Plane()
    async with listening(plane, token=TOKEN) as client:
        for header in (None, "Bearer wrong", f"Basic {TOKEN}", "Bearer", "Bearer \xe9", TOKEN):
            headers = {"Authorization": header.encode("latin-1")} if header else {}
            response = await client.post("/api/v1/pause", headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in response.text
        assert plane.paused_by() == ()
        assert (await client.get("/api/v1/jobs")).status_code == 200
        good = await client.post("/api/v1/pause", headers={"Authorization": f"bearer {TOKEN}"})
        assert good.json() == {"paused_by": ["http"]}


async def test_a_token_file_is_read_at_each_request(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-token\n")
    async with listening(Plane(), token_file=file) as client:
        assert (await client.post("/api/v1/pause", headers={"Authorization": "Bearer first-token"})).status_code == 200
        file.write_text("second-token\n")
        assert (await client.post("/api/v1/pause", headers={"Authorization": "Bearer first-token"})).status_code == 401
        assert (await client.post("/api/v1/pause", headers={"Authorization": "Bearer second-token"})).status_code == 200
        file.unlink()
        assert (await client.post("/api/v1/pause", headers={"Authorization": "Bearer second-token"})).status_code == 503


async def test_without_a_token_nothing_can_be_posted_beyond_loopback() -> None:
    plane = Plane()
    async with listening(plane, host="0.0.0.0") as client:
        response = await client.post("/api/v1/pause")
        assert response.status_code == 403
        assert "PGBACKFILL_HTTP__TOKEN" in response.json()["error"]
        assert (await client.get("/api/v1/jobs")).status_code == 200
    assert plane.paused_by() == ()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_a_page_on_another_site_can_do_nothing_token_or_not(headers: dict[str, str], status: int) -> None:
    for token in (None, TOKEN):
        plane = Plane()
        async with listening(plane, token=token) as client:
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            response = await client.post("/api/v1/pause", content=b"{}", headers=headers | bearer)
            assert response.status_code == status
            assert response.json()["error"].endswith(".")
        assert plane.paused_by() == ()


async def test_a_rebound_name_reads_no_jobs_but_monitoring_goes_by_any_name() -> None:
    async with listening(Plane(), allowed_hosts=["backfill.internal"]) as client:
        for path, host, status in (
            ("/api/v1/jobs", "evil.example", 421),
            ("/", "evil.example:80", 421),
            ("/api/v1/jobs", "backfill.internal:9188", 200),
            ("/api/v1/jobs", "LOCALHOST:1", 200),
            ("/api/v1/jobs", "10.1.2.3:9188", 200),
            ("/metrics", "pgbackfill.monitoring.svc", 200),
            ("/readyz", "pgbackfill.monitoring.svc", 200),
        ):
            assert (await client.get(path, headers={"Host": host})).status_code == status, host


async def test_a_page_of_its_own_may_post() -> None:
    async with listening(Plane()) as client:
        origin = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        assert (await client.post("/api/v1/pause", json={}, headers=origin)).status_code == 200


async def test_bodies_are_small_json_and_empty() -> None:
    async with listening(Plane()) as client:
        json = {"Content-Type": "application/json"}
        for body, status in ((b"x" * 20_000, 413), (b"{", 400), (b"[" * 10_000, 400), (b'{"a": 1}', 400), (b"", 200)):
            assert (await client.post("/api/v1/pause", content=body, headers=json)).status_code == status
        assert (await client.post("/api/v1/pause", content=b"{}")).status_code == 415


async def test_a_database_that_is_away_answers_503_and_alive_stays_alive() -> None:
    plane = Plane()
    plane.down = "The database x on db:5432 as app does not listen there; check address and port."
    async with listening(plane) as client:
        assert (await client.get("/healthz")).status_code == 200
        for path in ("/readyz", "/api/v1/jobs"):
            response = await client.get(path)
            assert response.status_code == 503
            assert response.json()["error"] == plane.down


async def test_an_error_inside_shows_no_internals() -> None:
    plane = Plane()
    plane.broken = True
    async with listening(plane) as client:
        response = await client.get("/api/v1/jobs")
        assert response.status_code == 500
        assert set(response.json()) == {"error"}
        assert "secret internals" not in response.text


async def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        http = HttpSettings(port=taken.getsockname()[1])
        with pytest.raises(
            UsageError, match=r"^127\.0\.0\.1:\d+ is in use by another process; set PGBACKFILL_HTTP__PORT"
        ):
            await serve(create_app(Plane(), http), http)


async def test_an_address_of_another_machine_is_one_sentence() -> None:
    http = HttpSettings(host="192.0.2.1", port=0)  # TEST-NET-1, nobody's address
    with pytest.raises(UsageError, match="not an address of this machine"):
        await serve(create_app(Plane(), http), http)


async def test_cancelling_closes_the_port_even_with_an_open_connection() -> None:
    http = HttpSettings(port=0)
    async with anyio.create_task_group() as group:
        port = await group.start(serve, create_app(Plane(), http), http)
        stream = await anyio.connect_tcp("127.0.0.1", port)
        await stream.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await stream.receive()
        group.cancel_scope.cancel()
    await stream.aclose()
    with pytest.raises(OSError, match=r"failed|refused"):
        await anyio.connect_tcp("127.0.0.1", port)


async def test_a_job_is_throttled_and_paused_for_a_while() -> None:
    plane = Plane()
    async with listening(plane) as client:
        for path, body, asked in (
            ("throttle", {"ratio": 0.5, "for": "30m"}, (0.5, timedelta(minutes=30))),
            ("unthrottle", {}, "unthrottle"),
            ("pause", {"for": "1h30m"}, timedelta(minutes=90)),
            ("pause", {}, None),
        ):
            response = await client.post(f"/api/v1/jobs/users-email/{path}", json=body)
            assert response.status_code == 200, response.text
            assert plane.asked == asked
        response = await client.post("/api/v1/jobs/unknown/throttle", json={"ratio": 0.5, "for": "30m"})
        assert response.status_code == 404


async def test_the_process_is_throttled_and_paused_for_a_while() -> None:
    plane = Plane()
    async with listening(plane) as client:
        response = await client.post("/api/v1/throttle", json={"ratio": 0.25, "for": "90s"})
        assert response.json() == {"throttle_ratio": 0.25, "throttle_seconds_left": 90.0}
        assert (await client.get("/api/v1")).json()["throttle_ratio"] == 0.25
        assert (await client.post("/api/v1/unthrottle", json={})).json()["throttle_ratio"] == 1.0
        assert (await client.post("/api/v1/pause", json={"for": "2h"})).json() == {"paused_by": ["http"]}
        assert plane.asked == timedelta(hours=2)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("throttle", {"ratio": 0, "for": "30m"}, "use pause"),
        ("throttle", {"ratio": 1, "for": "30m"}, "below 1"),
        ("throttle", {"ratio": True, "for": "30m"}, "below 1"),
        ("throttle", {"ratio": "0.5", "for": "30m"}, "must be a number"),
        ("throttle", {"ratio": 0.5}, '"for": "30m"'),
        ("throttle", {"ratio": 0.5, "for": 30}, "must be a text"),
        ("throttle", {"ratio": 0.5, "for": "soon"}, "90s, 30m, 2h"),
        ("pause", {"until": "noon"}, '"for" only'),
        ("pause", {"for": "0s"}, "above 0"),
        ("resume", {"for": "1h"}, "takes no fields"),
        ("pause", [], "not a JSON object"),
    ],
)
async def test_wrong_fields_get_a_sentence(path: str, body: object, says: str) -> None:
    plane = Plane()
    async with listening(plane) as client:
        for prefix in ("/api/v1/jobs/users-email", "/api/v1"):
            response = await client.post(f"{prefix}/{path}", json=body)
            assert response.status_code == 400
            assert says in response.json()["error"]
    assert plane.asked is None
    assert plane.paused_by() == ()


async def test_what_comes_behind_a_request_and_is_no_http_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    http = HttpSettings(port=0)
    async with anyio.create_task_group() as group:
        port = await group.start(serve, create_app(Plane(), http), http)
        for _ in range(20):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"GET /nothing HTTP/1.1\r\nHost: evil.example\r\n\r\n\x00\x01 no HTTP\r\n\r\n")
                answer = await stream.receive()
                assert answer.startswith((b"HTTP/1.1 421", b"HTTP/1.1 400")), answer
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:  # 400 has a body, and HEAD allows none
            await stream.send(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 70_000)
            assert (await stream.receive()).startswith(b"HTTP/1.1")
        group.cancel_scope.cancel()
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
