"""The status page over a real socket: what its headers let in, and who gets it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest
from support.plane import Plane, listening

STATIC = files("pgbackfill.http") / "static"
NAMES = sorted(file.name for file in STATIC.iterdir())


async def test_the_page_lets_in_nothing_but_its_own_files() -> None:
    async with listening(Plane()) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert {policy[kind] for kind in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
        for address in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
            assert (await client.get(f"/{address}")).status_code == 200, address


@pytest.mark.parametrize("name", NAMES)
async def test_every_part_is_served_once_and_then_only_when_it_has_changed(name: str) -> None:
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    async with listening(Plane()) as client:
        first = await client.get(f"/page/{name}")
        assert first.content == (STATIC / name).read_bytes()
        assert first.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
        again = await client.get(f"/page/{name}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", NAMES)
def test_no_part_asks_another_site_or_parses_text_as_html(name: str) -> None:
    text = (STATIC / name).read_text(encoding="utf-8")
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)\S+", text) == []
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
    assert re.findall(forbidden, text) == []
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=\"", text) == []


async def test_nothing_beside_the_parts_can_be_reached() -> None:
    async with listening(Plane()) as client:
        for path in ("/page/nothing.js", "/page/..%2fpage.py", "/page/", "/page/%2e%2e/app.py"):
            assert (await client.get(path)).status_code == 404, path
        assert (await client.post("/")).status_code == 405


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, "/", 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, "/", 403),
        (
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
            "/page/app.js",
            403,
        ),
        (
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
            "/api/v1/jobs",
            403,
        ),
        (
            {"Host": "evil.example", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
            "/",
            421,
        ),
    ],
)
async def test_a_link_from_elsewhere_leads_to_the_page_and_to_nothing_else(
    headers: dict[str, str], path: str, status: int
) -> None:
    async with listening(Plane()) as client:
        assert (await client.get(path, headers=headers)).status_code == status


async def test_the_history_of_a_job_is_asked_for_from_a_moment_on() -> None:
    plane: Any = Plane()
    async with listening(plane) as client:
        assert (await client.get("/api/v1/jobs/users-email/history")).json()["points"] == {"at": [1.0]}
        assert plane.asked == 0
        assert (await client.get("/api/v1/jobs/users-email/history?since=17.5")).status_code == 200
        assert plane.asked == 17.5
        assert (await client.get("/api/v1/jobs/unknown/history")).status_code == 404
        assert (await client.post("/api/v1/jobs/users-email/history")).status_code == 404
        for wrong in ("since=soon", "since=nan", "since=inf", "until=1"):
            answer = await client.get(f"/api/v1/jobs/users-email/history?{wrong}")
            assert (answer.status_code, answer.json()["error"][-1]) == (400, "."), wrong
