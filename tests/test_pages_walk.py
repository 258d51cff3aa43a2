"""The whole walk of somebody new, from an empty workspace to a list of customers on their machine.

Sample data, a goal of their own, a check, a run, what it found, a segment, a download: in few clicks, with nothing that
the browser complains of, and no request that leaves the machine.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser import Visitor
from servers import serving

pytestmark = pytest.mark.browser
PASSWORD = "a quiet place by the sea"
MOST_CLICKS = 12
WAIT = 120_000
"""Milliseconds for the run: two cores may have much to do."""


def test_from_nothing_to_a_list_of_customers(browser: Browser, tmp_path: Path) -> None:
    home = tmp_path / "shop"
    home.mkdir()
    (home / "propend.toml").write_text("", encoding="utf-8")
    with serving(home) as server:
        assert server.process.stdout is not None
        said = [server.process.stdout.readline() for _ in range(4)]
        token = next(line.strip() for line in said if line.startswith("    "))
        visitor = Visitor(browser, server.url)
        visitor.page.set_default_timeout(30_000)
        _come_in(visitor, token)
        _say_the_goal(visitor)
        _run(visitor)
        _take_them_along(visitor)
        assert visitor.clicks <= MOST_CLICKS
        _look_around(visitor)
        visitor.close()


def _come_in(visitor: Visitor, token: str) -> None:
    visitor.open("/")
    visitor.page.fill("[name=token]", token)
    visitor.page.fill("[name=name]", "ana")
    visitor.page.fill("[name=password]", PASSWORD)
    visitor.click("button.primary")
    visitor.look("walk-1-empty")


def _say_the_goal(visitor: Visitor) -> None:
    page = visitor.page
    visitor.click("main a:has-text('Try the sample data')")
    visitor.look("walk-2-new")
    visitor.click("button:has-text('Who will buy again within 30 days?')")
    page.wait_for_url("**/edit?step=goal")
    expect(page.locator("#check")).to_contain_text("Ready to run", timeout=WAIT)
    page.fill("#goal-within", "60")
    page.locator("#goal-within").blur()
    expect(page.locator("#builder-sentence")).to_contain_text("in the next 60 days", timeout=30_000)
    expect(page.locator("#check")).to_contain_text("425 needed", timeout=WAIT)  # a year back and 60 days ahead
    expect(page.locator("#check")).to_contain_text("Ready to run", timeout=WAIT)
    visitor.look("walk-3-goal")


def _run(visitor: Visitor) -> None:
    page = visitor.page
    visitor.click("button:has-text('Publish and run')")
    page.wait_for_url("**/runs/*")
    visitor.shoot("walk-4-run")
    shown = page.locator("main a", has_text=re.compile("^show them$", re.IGNORECASE)).first
    shown.wait_for(timeout=WAIT)
    visitor.look("walk-5-done")
    visitor.click(shown)
    page.wait_for_url("**/instances/*")
    visitor.look("walk-6-scores")
    assert page.locator("[data-picture][data-state=drawn]").count() > 0


def _take_them_along(visitor: Visitor) -> None:
    page = visitor.page
    visitor.click(page.locator("main a:has-text('Make a segment')").first)
    page.wait_for_url("**/segments/new*")
    page.fill("[name=name]", "Likely to buy again")
    visitor.settle()
    visitor.look("walk-7-segment")
    visitor.click("button:has-text('Save segment')")
    page.wait_for_url(re.compile(r".*/segments/\d+$"))
    visitor.look("walk-8-saved")
    with page.expect_download() as download:
        visitor.click("a:has-text('Download as CSV')")
    with download.value.path().open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 20
    assert {row["bucket"] for row in rows} == {"high"}
    assert all(row["profile_id"] and row["raised_by"] + row["lowered_by"] for row in rows)


def _look_around(visitor: Visitor) -> None:
    """Every tab of the instance, and every place of the bar, as they stand after the walk."""
    visitor.open("/")
    visitor.look("walk-9-home")
    assert "succeeded" in visitor.page.locator(".standing").inner_text()
    visitor.page.click(".standing h2 a")
    visitor.settle()
    for address in visitor.page.locator("nav.tabs a, nav.places a").evaluate_all("all => all.map(a => a.pathname)"):
        visitor.open(address)
        visitor.look(f"walk-at{address.replace('/', '-')}")
