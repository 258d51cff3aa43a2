"""Debian's Chromium for tests of the pages, by Playwright: what it complains of and what it loads is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
NARROW, WIDE = 390, 1440
SHOTS = os.environ.get("SHOTS")
"""A folder for pictures of every page that tests come by; none are taken where it is not set."""
SERIOUS = ("serious", "critical")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; the test is skipped where it cannot be had."""
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not installed: `make browser`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


GIVEN_UP = ("htmx:afterRequest", "htmx:sendAbort")
"""What htmx says where a newer request takes the place of one under way; what goes wrong has other names, too."""


def _complains(said: ConsoleMessage) -> bool:
    return said.type in ("error", "warning") and not said.text.startswith(GIVEN_UP)


class Visitor:
    """Somebody at a browser window of their own.

    Attributes:
        page: the window; Playwright's own, for everything that is not here.
        complaints: of the console, of pages that failed, of requests that leave the server.
        clicks: how often they have clicked.
    """

    def __init__(self, browser: Browser, url: str, *, width: int = WIDE, dark: bool = False) -> None:
        """``url``: of the server under test."""
        self.url = url.rstrip("/")
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", accept_downloads=True,
            reduced_motion="reduce",
        )  # fmt: skip
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.clicks = 0
        self.page.on("console", lambda m: self.complaints.append(m.text) if _complains(m) else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._look)

    def _look(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"asked for {request.url}")

    def open(self, path: str) -> None:
        """Go to an address of the server, and wait until it is quiet."""
        self.page.goto(self.url + path)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is loaded, and every picture that can be seen is drawn."""
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_function(
            "() => document.querySelectorAll('[data-picture][data-state=drawing]').length === 0"
        )
        failed = self.page.locator("[data-picture][data-state=failed]")
        self.complaints += [f"not drawn: {failed.nth(i).get_attribute('data-picture')}" for i in range(failed.count())]

    def click(self, what: Any) -> None:
        """Click something, found by a locator or a selector; it is counted."""
        (self.page.locator(what) if isinstance(what, str) else what).click()
        self.clicks += 1

    def send(self, what: Any) -> None:
        """Click something that sends a form or follows a link, and wait for the page that it brings."""
        with self.page.expect_navigation():
            self.click(what)

    def barriers(self) -> list[str]:
        """What axe finds serious on the page as it stands."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{v['id']}: {node['html'][:160]} | {node['failureSummary'][:300]}"
            for v in found["violations"]
            if v["impact"] in SERIOUS
            for node in v["nodes"][:5]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(
            self.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )

    def shoot(self, name: str) -> None:
        """A picture of the whole page, where pictures are asked for."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)

    def look(self, name: str) -> None:
        """That the page as it stands is as every page must be: nothing complained of, no barrier, no overflow."""
        self.settle()
        self.shoot(name)
        assert self.complaints == [], self.complaints
        assert self.barriers() == []
        assert self.overflow() <= 0, f"{name} is {self.overflow()} px wider than its window"

    def close(self) -> None:
        """The window."""
        self.context.close()
