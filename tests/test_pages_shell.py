"""What every page has: its frame, refusals as pages, log-in, themes; in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from browser import NARROW, Visitor
from propend import drawing
from propend.server.pages import shell
from servers import Server, serving
from workspaces import made

pytestmark = pytest.mark.browser
PASSWORD = "a quiet place by the sea"
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants to know who asks."""
    with serving(made(tmp_path_factory.mktemp("shell") / "shop")) as server:
        yield server


def test_the_first_user_comes_in_and_goes(browser: Browser, guarded: Server) -> None:
    assert guarded.process.stdout is not None
    said = [guarded.process.stdout.readline() for _ in range(4)]
    token = next(line.strip() for line in said if line.startswith("    "))
    visitor = Visitor(browser, guarded.url)
    visitor.open("/?x=1")
    assert visitor.page.url.endswith("/setup")
    visitor.look("setup")
    visitor.page.fill("[name=token]", "wrong")
    visitor.page.fill("[name=name]", "ana")
    visitor.page.fill("[name=password]", PASSWORD)
    visitor.page.click("button.primary")
    assert "token" in visitor.page.locator("[role=alert]").inner_text()
    visitor.complaints.clear()  # the browser tells of the 401 itself
    visitor.page.fill("[name=token]", token)
    visitor.page.fill("[name=password]", PASSWORD)
    visitor.page.click("button.primary")
    visitor.look("home-empty")
    visitor.page.click("details.menu summary")
    visitor.page.click("text=Log out")
    visitor.open("/?a=b")
    assert visitor.page.url.endswith("/login?next=%2F%3Fa%3Db")
    visitor.look("login")
    visitor.page.fill("[name=name]", "ana")
    visitor.page.fill("[name=password]", "wrong, surely wrong")
    visitor.page.click("button.primary")
    assert visitor.page.locator("[role=alert]").count() == 1
    visitor.complaints.clear()
    visitor.page.fill("[name=password]", PASSWORD)
    visitor.page.click("button.primary")
    assert visitor.page.url.endswith("/?a=b")
    visitor.close()


def test_what_is_not_there_is_a_page_for_people_and_json_for_programs(browser: Browser, guarded: Server) -> None:
    asked = httpx.get(f"{guarded.url}/nothing", headers={"Accept": "text/html"})
    assert (asked.status_code, asked.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such address" in asked.text
    assert httpx.get(f"{guarded.url}/nothing").json()["error"]["code"] == "PROPEND-103"
    below = httpx.get(f"{guarded.url}/api/v1/instances", headers={"Accept": "text/html"})
    assert (below.status_code, below.headers["content-type"]) == (401, "application/json")


def test_log_in_leads_to_this_server_only(guarded: Server) -> None:
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example"):
        page = httpx.get(f"{guarded.url}/login", params={"next": elsewhere}, headers={"Accept": "text/html"})
        assert "evil" not in page.text


def test_files_of_pages_are_kept_by_browsers_under_the_address_of_their_version(guarded: Server) -> None:
    for name in ("propend.css", "pages.js", "htmx.min.js", "charts/vega.min.js"):
        kept = httpx.get(guarded.url + shell.asset(name))
        again = httpx.get(f"{guarded.url}/static/{name}")
        assert (kept.status_code, "immutable" in kept.headers["cache-control"]) == (200, True)
        assert (again.headers["cache-control"], again.content) == ("no-cache", kept.content)
        unchanged = httpx.get(f"{guarded.url}/static/{name}", headers={"If-None-Match": again.headers["etag"]})
        assert unchanged.status_code == 304


def test_modules_are_loaded_by_one_address_each() -> None:
    """A second address would run a module twice, and every click would count twice."""
    static, templates = ROOT / "src/propend/server/static", ROOT / "src/propend/server/templates"
    scripts, pages = (
        [f.read_text(encoding="utf-8") for f in files] for files in (static.glob("*.js"), templates.glob("*.j2"))
    )
    imported = {name for text in scripts for name in re.findall(r'from "\./([\w.]+)"', text)}
    asked = {name for text in pages for name in re.findall(r"asset\('([\w.]+\.js)'\)", text)}
    assert imported & asked == set()


def test_files_outside_are_not_served(guarded: Server) -> None:
    for outside in ("../app.py", "%2e%2e/app.py", "charts/../../report.py"):
        assert httpx.get(f"{guarded.url}/static/{outside}").status_code == 404


def test_the_dark_has_a_colour_for_every_colour_of_pictures() -> None:
    script = (ROOT / "src/propend/server/static/pages.js").read_text(encoding="utf-8")
    used = {
        drawing.INK,
        drawing.MUTED,
        drawing.GRID,
        drawing.TRACK,
        drawing.PALE,
        drawing.BLUE,
        drawing.PLUM,
        drawing.GREY,
    }
    assert [colour for colour in used | set(drawing.TONES.values()) if f'"{colour}": "#' not in script] == []


@pytest.mark.parametrize(("width", "dark"), [(NARROW, False), (NARROW, True)])
def test_the_log_in_is_usable_on_a_phone(browser: Browser, guarded: Server, width: int, dark: bool) -> None:
    visitor = Visitor(browser, guarded.url, width=width, dark=dark)
    visitor.open("/login")
    visitor.look(f"login-narrow-{'dark' if dark else 'light'}")
    visitor.page.click("#theme")
    assert visitor.page.locator("html").get_attribute("data-theme") == ("light" if dark else "dark")
    visitor.page.reload()
    assert visitor.page.locator("html").get_attribute("data-theme") == ("light" if dark else "dark")
    visitor.close()
