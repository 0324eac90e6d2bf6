"""Requests that nobody would send: each gets an answer, and none of them does more than its sender may do.

PGBACKFILL_FUZZ_CASES says how many (`make fuzz`: 10,000).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from typing import Any

CASES = int(os.environ.get("PGBACKFILL_FUZZ_CASES", "300"))
TOKEN = "correct-horse-battery"
ANSWER_S = 30.0
"""A request that is not answered by then hangs; a body that never comes is waited for 5 s."""

METHODS = [
    "GET",
    "POST",
    "POST",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "get",
    "P\x00ST",
    "X" * 300,
]
PARTS = [
    "api", "v1", "jobs", "victim", "victim%00", "%ff%fe", "%F0%9F%A6%86", "..", "%2e%2e", "%2f", "", "pause",
    "resume", "throttle", "unthrottle", "retry", "history", "metrics", "healthz", "readyz", "signals", "static",
    "app.js", "';DROP TABLE t--", "a" * 3000, "victim?since=nan", "?since=1e999", "history?since=-1&since=2", "%",
    "%zz", "<script>", "{name}", "*", "\\",
]  # fmt: skip
WHOLE = [
    "/", "/metrics", "/healthz", "/readyz", "/api/v1", "/api/v1/jobs", "/api/v1/jobs/victim",
    "/api/v1/jobs/victim/history", "/api/v1/signals", "/api/v1/pause", "/api/v1/resume", "/api/v1/throttle",
    "/api/v1/unthrottle",
    *(f"/api/v1/jobs/victim/{action}" for action in ("pause", "resume", "throttle", "unthrottle", "retry")),
]  # fmt: skip
BODIES = [
    b"", b"{}", b"[]", b"null", b"{", b'{"for": "1h"}', b'{"for": "1h", "for": 2}', b'{"ratio": 0.5, "for": "1s"}',
    b'{"ratio": 1e400, "for": "1s"}', b'{"ratio": NaN, "for": "1s"}', b'{"ratio": -0.0, "for": "99999999999d"}',
    b"[" * 9000, b'{"for": "\\ud800"}', b"\xff\xfe{}", b'{"a":' * 2000, b"x" * 20_000,
    b'{"for": "' + b"9" * 9000 + b'h"}', b"\x00", b'{"ratio": ' + b"9" * 5000 + b', "for": "1s"}',
]  # fmt: skip
HEADERS = [
    ("Content-Type", "application/json"), ("Content-Type", "application/json; charset=utf-7"),
    ("Content-Type", "text/plain"), ("Content-Type", "multipart/form-data; boundary=x"), ("Content-Length", "-1"),
    ("Content-Length", "5"), ("Content-Length", "99999999999999999999"), ("Transfer-Encoding", "chunked"),
    ("Expect", "100-continue"), ("Host", "evil.example"), ("Host", "127.0.0.1"), ("Host", "[::1"),
    ("Host", "127.0.0.1:x"), ("Host", ""), ("Origin", "null"), ("Origin", "https://evil.example"),
    ("Origin", "http://[::1"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"), ("Authorization", "Bearer"), ("Authorization", "Bearer \xff\xfe"),
    ("Authorization", f"Bearer {TOKEN[:-1]}"), ("Authorization", f"Basic {TOKEN}"),
    ("Authorization", "Bearer " + "x" * 5000), ("X-Forwarded-For", "127.0.0.1"), ("X-HTTP-Method-Override", "POST"),
    ("Upgrade", "websocket"), ("Connection", "upgrade"), ("Cookie", "a=b"), ("Range", "bytes=0-1,5-"),
    ("X-Long", "y" * 20_000), ("If-None-Match", "*"), ("X-Odd", "a\x01b"),
]  # fmt: skip


def request(chance: random.Random, own_host: str, *, trusted: bool) -> bytes:
    """The bytes of one request; with the right Host as a rule, and with the token only where it is `trusted`."""
    path = (
        chance.choice(WHOLE) if chance.random() < 0.7 else "/" + "/".join(chance.choices(PARTS, k=chance.randint(1, 6)))
    )
    body = chance.choice(BODIES)
    lines = [f"{chance.choice(METHODS)} {path} HTTP/{chance.choice(('1.1', '1.1', '1.1', '1.0', '2.0', '1.x'))}"]
    headers = chance.choices(HEADERS, k=chance.choice((0, 0, 1, 1, 2, 5)))
    if chance.random() < 0.9:
        headers.append(("Host", own_host))
    if chance.random() < 0.8:
        headers.append(("Content-Length", str(len(body))))
    if chance.random() < 0.6:
        headers.append(("Content-Type", "application/json"))
    if trusted:
        headers.append(("Authorization", f"Bearer {TOKEN}"))
    lines += [f"{name}: {value}" for name, value in headers]
    whole = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    if chance.random() < 0.1:  # a byte of it is another one, or it ends early
        place = chance.randrange(len(whole))
        whole = whole[:place] + (bytes([chance.randrange(256)]) + whole[place + 1 :] if chance.random() < 0.5 else b"")
    return whole


async def exchange(port: int, sent: bytes) -> bytes:
    """What came back until the other side had nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(ANSWER_S):
            return await reader.read()
    except ConnectionError:  # it was told that its request is too large, and went on
        return b""
    finally:
        writer.close()


def judge(sent: bytes, got: bytes) -> None:
    """No server error but 503, no traceback, and an error is one sentence."""
    if not got:
        return
    head, _, body = got.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    if not head:
        return  # told to go on, and did not
    status = int(head.split(b" ", 2)[1])
    assert status < 500 or status == 503, (sent, got)
    assert b"Traceback" not in got, (sent, got)
    assert TOKEN.encode() not in got, (sent, got)
    if status >= 400 and b"application/json" in head and body.startswith(b"{"):
        said = json.loads(body.partition(b"\nHTTP/1.1")[0])["error"]
        assert said.endswith("."), said
        assert "\n" not in said, said


async def test_no_request_hurts_and_none_without_the_token_changes_anything(site: Any) -> None:
    chance = random.Random(11)
    await site.table("users", 50)
    await site.enqueue("victim", "users", desired_state="pause")
    daemon = await site.running(http__enabled="true", http__port=0, http__token=TOKEN)
    port = await daemon.port()
    written = "SELECT j.xmin, j.* FROM pgbackfill.jobs j"
    before = await site.connection.fetch(written)
    for trusted in (False, True):
        for _ in range(CASES // 2):
            sent = request(chance, f"127.0.0.1:{port}", trusted=trusted)
            judge(sent, await exchange(port, sent))
        if not trusted:
            assert await site.connection.fetch(written) == before
            assert json.loads((await daemon.get("/api/v1"))[1])["paused_by"] == []
    assert (await daemon.get("/healthz"))[0] == 200
    jobs = await site.connection.fetch("SELECT name, set_clause, options FROM pgbackfill.jobs")
    assert [tuple(job) for job in jobs] == [("victim", "n = n + 1", "{}")]
    assert await site.connection.fetchval("SELECT count(*) FROM users WHERE n NOT IN (0, 1)") == 0
    assert await daemon.stop() == 0
    assert daemon.entries(level="error") == []
    assert daemon.entries(level="critical") == []
