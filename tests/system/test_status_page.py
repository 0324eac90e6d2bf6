"""The status page of a running daemon in a real Chromium: what a person sees, clicks and cannot break.

With PGBACKFILL_WRITE_SCREENSHOTS=1 the pictures of the documentation are taken anew.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright
from rich.console import Console
from rich.text import Text
from support.terminal import COLUMNS, Terminal

from pgbackfill.embedded import Binaries, Server

from .conftest import POSTGRES_15, Psql, pgbackfill, wait

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WRITE = os.environ.get("PGBACKFILL_WRITE_SCREENSHOTS") == "1"
IMAGE_MOST_BYTES = 150_000
TOKEN = "only-for-the-night-shift"
JOB = "users-email-lower"
# A login of this name could enqueue jobs on any server: all of it must stay text.
EVIL = "maria" if WRITE else "<img src=x onerror=alert(1)>"
DESKTOP, PHONE = {"width": 1180, "height": 900}, {"width": 375, "height": 720}
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
# For pictures that show more than the first seconds of a job.
BEFORE_PICTURES_S = 35 if WRITE else 0

Wait = Callable[[Callable[[], bool], str], None]


@dataclass
class Visitor:
    """One browser window, and everything that went wrong in it."""

    context: BrowserContext
    page: Page
    address: str
    wrong: list[str] = field(default_factory=list)

    @classmethod
    def come(cls, browser: Browser, address: str, **options: Any) -> Visitor:
        context = browser.new_context(**options)
        visitor = cls(context, context.new_page(), address)
        visitor.page.set_default_timeout(PATIENCE_MS)
        visitor.page.on("console", visitor._said)
        visitor.page.on("pageerror", lambda error: visitor.wrong.append(str(error)))
        visitor.page.on("dialog", lambda dialog: visitor.wrong.append(f"dialog {dialog.message}"))
        visitor.page.on("request", visitor._asked)
        return visitor

    def _said(self, message: Any) -> None:
        # Chromium itself reports the answer that makes the page ask for a token.
        if message.type in ("error", "warning") and "status of 401" not in message.text:
            self.wrong.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.address):
            self.wrong.append(f"request to {request.url}")

    def goto(self, fragment: str) -> None:
        self.page.goto(f"{self.address}/{fragment}")

    def fits(self) -> bool:
        """Whether nothing has to be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def picture(self, name: str, **options: Any) -> None:
        if WRITE:
            taken = self.page.screenshot(path=IMAGES / f"{name}.png", **options)
            assert len(taken) < IMAGE_MOST_BYTES, f"{name} has {len(taken)} bytes"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or whichever is in the path."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver: Playwright
    with sync_playwright() as driver:
        # Without its sandbox it runs as root, and without /dev/shm in a container.
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@dataclass
class Site:
    """A shop with a replica, and a daemon that works on its jobs."""

    shop: Any
    replica: Any
    address: str


@pytest.fixture
def site(start: Callable[..., Any], wait_until: Wait) -> Iterator[Site]:
    binaries, settings = Binaries(15, POSTGRES_15), {"fsync": "off", "log_min_messages": "fatal"}
    with Server.create(binaries, settings) as primary, Server.standby(primary, "replica-b") as standby:
        Psql(primary.dsn())("CREATE DATABASE shop", f'CREATE ROLE "{EVIL}" SUPERUSER LOGIN')
        shop = Psql(primary.dsn("shop"))
        pgbackfill(shop.dsn, "migrate")
        _fill(shop, Psql(primary.dsn("shop", user=EVIL)))
        daemon = start(
            shop.dsn,
            PGBACKFILL_HTTP__TOKEN=TOKEN,
            PGBACKFILL_MAX_CONCURRENT_JOBS="1",
            PGBACKFILL_LATENCY_SLACK_MS="50",
        )
        wait_until(lambda: daemon.says("http listens"), "the listener")
        (port,) = re.findall(r'"port": (\d+)', daemon.log.read_text())
        yield Site(shop, Psql(standby.dsn("shop")), f"http://127.0.0.1:{port}")
        daemon.process.terminate()
        assert daemon.process.wait(PATIENCE_MS / 1000) == 1  # one of its jobs failed


def _fill(shop: Psql, evil: Psql) -> None:
    """One job that is done, one that failed, one that runs for minutes, one that waits for it."""
    shop(
        "CREATE TABLE users (id bigint PRIMARY KEY, email text, email_lower text)",
        "INSERT INTO users SELECT g, 'User' || g || '@Example.com' FROM generate_series(1, 400000) AS g",
        "CREATE TABLE orders (id bigint PRIMARY KEY, cents bigint)",
        "INSERT INTO orders SELECT g FROM generate_series(1, 20000) AS g",
        "CREATE TABLE invoices (id bigint PRIMARY KEY, vat int, rate text)",
        "INSERT INTO invoices SELECT g, NULL, '19' FROM generate_series(1, 500) AS g",
        "ANALYZE",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, priority) VALUES"
        " ('orders-cents', 'orders', 'cents = id * 100', 9), ('invoices-vat', 'invoices', 'vat = rate::int', 8)",
        "ALTER TABLE invoices DROP COLUMN rate",
    )
    options = json.dumps({"max_rows_per_s": 3000})
    evil(
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause, where_clause, options, priority) VALUES"
        f" ('{JOB}', 'users', 'email_lower = lower(email)', 'email_lower IS NULL', '{options}', 7)",
        "INSERT INTO pgbackfill.jobs (name, table_name, set_clause)"
        " VALUES ('users-email-trim', 'users', 'email = trim(email)')",
    )


def _status(site: Site, job: str = JOB) -> str:
    return str(site.shop.value(f"SELECT status FROM pgbackfill.progress WHERE name = '{job}'"))


def test_a_hold_is_seen_and_a_pause_wants_the_token_once(site: Site, browser: Browser, wait_until: Wait) -> None:
    visitor = Visitor.come(browser, site.address, viewport=DESKTOP, color_scheme="light")
    page = visitor.page
    visitor.goto("")
    page.get_by_role("link", name=JOB).click()
    expect(page.get_by_role("heading", name=JOB)).to_be_visible()
    expect(page.get_by_text(EVIL).first).to_be_visible()  # as text
    # The axis, and at least two points: a line.
    expect(page.locator("path.line").first).to_have_attribute("d", re.compile("L"))

    page.wait_for_timeout(1000 * BEFORE_PICTURES_S)
    site.replica("SELECT pg_wal_replay_pause()")
    expect(page.get_by_text(re.compile(r"held for .*: replica_lag .* > 5s \(replica-b\)"))).to_be_visible()
    expect(page.locator("rect.shade.held").first).to_be_attached()
    _look_from_everywhere(site, browser, visitor)
    _watch_in_a_terminal(site, browser)

    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    page.get_by_label("Token").fill("a wrong one")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("does not accept that token")).to_be_visible()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Go on").click()
    wait_until(lambda: _status(site) == "paused", "the pause")
    site.replica("SELECT pg_wal_replay_resume()")
    page.get_by_role("button", name="Resume").click()
    wait_until(lambda: _status(site) == "running", "the resumption, without another question")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()

    page.get_by_role("button", name="Throttle").click()
    page.get_by_role("dialog").get_by_role("button", name="Throttle").click()
    expect(page.get_by_text(re.compile("Throttled to 50 % until"))).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    wait_until(lambda: _status(site) == "cancelled", "the cancellation")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    assert page.evaluate("Object.entries(localStorage).length + document.cookie.length") == 0
    assert visitor.wrong == []


def _look_from_everywhere(site: Site, browser: Browser, visitor: Visitor) -> None:
    """In both colours and on a phone: nothing is cut off, and nothing complains."""
    visitor.picture("status-page-light")
    for name, options in (
        ("dark", {"viewport": DESKTOP, "color_scheme": "dark"}),
        ("phone", {"viewport": PHONE, "color_scheme": "light", "has_touch": True, "is_mobile": True}),
        ("phone-dark", {"viewport": PHONE, "color_scheme": "dark", "has_touch": True, "is_mobile": True}),
    ):
        other = Visitor.come(browser, site.address, **options)
        other.goto("")
        expect(other.page.get_by_role("link", name=JOB)).to_be_visible()
        assert other.fits()
        if name == "phone":
            other.picture("status-page-phone-jobs")
        other.goto(f"#/jobs/{JOB}")
        expect(other.page.locator("path.line").first).to_be_attached()
        expect(other.page.get_by_role("heading", name="Signals")).to_be_visible()
        expect(
            other.page.get_by_text("slows the work").or_(other.page.get_by_text("holds the work")).first
        ).to_be_visible()
        assert other.fits()
        other.picture(f"status-page-{name}")
        assert other.wrong == []
        other.context.close()


def _watch_in_a_terminal(site: Site, browser: Browser) -> None:
    """`pgbackfill watch` says the same."""
    arguments = [sys.executable, "-m", "pgbackfill", "watch", JOB]
    variables = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", "PGBACKFILL_DSN": site.shop.dsn}
    terminal = Terminal(arguments, {"PATH": os.environ["PATH"], **variables})
    try:
        held = re.compile(r"held for .*: replica_lag .* > 5s \(replica-b\)")
        try:
            wait(lambda: any(held.search(line) for line in terminal.frame), "the hold on the screen")
        except AssertionError as error:
            raise AssertionError(terminal.raw[-4000:]) from error
        if WRITE:
            time.sleep(BEFORE_PICTURES_S / 2)
            _print_screen(browser, terminal.coloured)
        terminal.type("q")
        assert terminal.process.wait(PATIENCE_MS / 1000) == 0
    finally:
        terminal.close()


def _print_screen(browser: Browser, lines: list[str]) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("\n").join(Text.from_ansi(line) for line in lines))
    page = browser.new_page(viewport={"width": 1010, "height": 640})
    page.set_content(console.export_svg(title=f"pgbackfill watch {JOB}"))
    # Without a background of its own: its corners are round.
    page.locator("svg").screenshot(path=IMAGES / "watch.png", omit_background=True)


def test_a_daemon_that_is_gone_is_said_to_be_gone(site: Site, browser: Browser) -> None:
    visitor = Visitor.come(browser, site.address, viewport=DESKTOP)
    visitor.goto("#/jobs/nobody")
    expect(visitor.page.get_by_text("There is no job 'nobody'.")).to_be_visible()
    visitor.goto("#/")
    expect(visitor.page.get_by_role("link", name="orders-cents")).to_be_visible()
    expect(visitor.page.get_by_role("alert")).to_be_hidden()
    visitor.context.set_offline(True)
    expect(visitor.page.get_by_text("This daemon does not answer. What is below was true at")).to_be_visible()
    visitor.context.set_offline(False)
    expect(visitor.page.get_by_role("alert")).to_be_hidden()
