"""People, one's own account, the log of changes and the settings, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from browser import NARROW, Visitor
from propend.workspace import Workspace
from propend.workspace.accounts import Accounts
from servers import Server, serving
from workspaces import made

pytestmark = pytest.mark.browser
PASSWORD = "a quiet place by the sea"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with three users: ana manages, vic and eve view; vic's password is changed by a test."""
    home = made(
        tmp_path_factory.mktemp("people") / "shop", "[alerts]\nwebhook = 'https://hooks.example.com/T0/s3cret'\n"
    )
    workspace = Workspace.open(home)
    accounts = Accounts(workspace.catalog, workspace.settings.access)
    accounts.add("ana", "manage", PASSWORD, "local")
    accounts.add("vic", "view", PASSWORD, "local")
    accounts.add("eve", "view", PASSWORD, "local")
    workspace.close()
    with serving(home) as server:
        yield server


def entered(browser: Browser, server: Server, name: str, password: str = PASSWORD, **how: int | bool) -> Visitor:
    visitor = Visitor(browser, server.url, **how)  # type: ignore[arg-type]
    visitor.open("/login")
    visitor.page.fill("[name=name]", name)
    visitor.page.fill("[name=password]", password)
    visitor.send("button.primary")
    visitor.settle()
    return visitor


def test_somebody_is_added_changed_and_let_in_no_more(browser: Browser, guarded: Server) -> None:
    ana = entered(browser, guarded, "ana")
    ana.open("/people")
    ana.look("people")
    ana.page.fill("[name=name]", "bo@example.com")
    ana.page.fill("[name=password]", "short")
    ana.send("text=Add >> nth=-1")
    assert "12 to 1,024 characters" in ana.page.locator("[role=alert]").inner_text()
    assert ana.page.input_value("[name=name]") == "bo@example.com"
    ana.complaints.clear()  # the browser tells of the 422 itself
    ana.page.fill("[name=password]", PASSWORD)
    ana.send("text=Add >> nth=-1")
    assert ana.page.url.endswith("/people/bo%40example.com?done=added")
    ana.look("person")
    bo = entered(browser, guarded, "bo@example.com")
    assert bo.page.locator("nav.places a").all_inner_texts() == [
        "Instances",
        "Profiles",
        "Segments",
        "Destinations",
        "Data",
        "Settings",
    ]
    ana.page.check("input[value=manage]")
    ana.send("text=Change the role")
    bo.page.reload()
    assert "People" in bo.page.locator("nav.places a").all_inner_texts()
    ana.page.fill("[name=password]", PASSWORD + ", again")
    ana.send("text=Set the password")
    bo.page.reload()
    assert "/login" in bo.page.url
    bo.close()
    bo = entered(browser, guarded, "bo@example.com", PASSWORD + ", again")
    ana.send("text=Disable")
    assert "disabled" in ana.page.locator(".callout-good").inner_text()
    bo.page.reload()
    assert "/login" in bo.page.url
    ana.send("text=Enable again")
    ana.look("person-again")
    ana.close()
    bo.close()


def test_the_last_who_manages_stays(browser: Browser, guarded: Server) -> None:
    with httpx.Client(base_url=guarded.url, headers={"Accept": "text/html"}, follow_redirects=True) as http:
        http.post("/login", data={"name": "ana", "password": PASSWORD})
        text = http.get("/people/ana").text
        csrf = {"csrf_token": text.split('name="csrf_token" value="')[1].split('"')[0]}
        http.post("/people/bo@example.com/role", data=csrf | {"role": "view"})
        kept = http.post("/people/ana/role", data=csrf | {"role": "view"})
        assert (kept.status_code, "the last user who manages" in kept.text) == (409, True)
        own = http.post("/people/ana/password", data=csrf | {"password": PASSWORD})
        assert (own.status_code, "with the present one" in own.text) == (403, True)
        assert http.post("/people/ana/role", data=csrf).status_code == 422
        assert http.get("/people/%3Cb%3E").status_code == 404


def test_ones_own_password_and_tokens(browser: Browser, guarded: Server) -> None:
    vic = entered(browser, guarded, "vic", width=NARROW, dark=True)
    vic.open("/account")
    vic.look("account-narrow")
    for present, new, again, told in (
        ("wrong, surely wrong", "x" * 12, "x" * 12, "The present password is not right"),
        (PASSWORD, "x" * 12, "y" * 12, "not typed twice the same"),
    ):
        vic.page.fill("[name=present]", present)
        vic.page.fill("[name=password]", new)
        vic.page.fill("[name=again]", again)
        vic.send("text=Change the password")
        assert told in vic.page.locator("[role=alert]").inner_text()
    vic.complaints.clear()  # the browser tells of the 422 itself
    vic.page.fill("[name=present]", PASSWORD)
    vic.page.fill("[name=password]", "another place by the sea")
    vic.page.fill("[name=again]", "another place by the sea")
    vic.send("text=Change the password")
    assert "The password is changed" in vic.page.locator(".callout-good").inner_text()
    assert vic.page.locator("#scope option").all_inner_texts() == ["look"]
    vic.page.fill("[name=name]", "<b>nightly</b> export")
    vic.send("text=Make a token")
    vic.look("token-narrow")
    secret = vic.page.input_value("#secret")
    vic.click("text=Copy >> nth=-1")
    vic.page.wait_for_function("() => document.getElementById('said').textContent !== ''")
    read = httpx.get(f"{guarded.url}/api/v1/session", headers={"Authorization": f"Bearer {secret}"}).json()
    assert (read["name"], read["role"]) == ("vic", "view")
    vic.send("text=Done")
    vic.look("account-with-token-narrow")
    assert secret not in vic.page.content()
    vic.send("[aria-label^='End the token']")
    vic.look("account-token-ended")
    ended = httpx.get(f"{guarded.url}/api/v1/session", headers={"Authorization": f"Bearer {secret}"})
    assert ended.status_code == 401
    vic.close()


def test_changes_are_found_told_apart_and_taken_along(browser: Browser, guarded: Server) -> None:
    ana = entered(browser, guarded, "ana")
    ana.open("/people/vic")
    ana.page.check("input[value=manage]")
    ana.send("text=Change the role")
    ana.page.check("input[value=view]")
    ana.send("text=Change the role")
    ana.open("/audit?who=ana&kind=user&subject=vic")
    ana.click("summary.small >> nth=0")
    ana.look("changes")
    line = ana.page.locator(".changes li").first
    assert line.locator("p").inner_text() == "ana changed the user vic"
    assert line.locator("tbody tr").all_inner_texts() == ["role\tmanage\tview"]
    assert ana.page.locator(".changes li").count() == 2
    with ana.page.expect_download() as download:
        ana.click("text=CSV")
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[2:6] for line in lines[1:]] == [["ana", "update", "user", "vic"]] * 2
    ana.open("/audit?since=2020-01-01&until=2020-01-31")
    assert "Nothing matches." in ana.page.content()
    ana.open("/audit?since=today")
    assert "is not a day" in ana.page.locator("[role=alert]").inner_text()
    ana.complaints.clear()  # the browser tells of the 422 itself
    narrow = entered(browser, guarded, "ana", width=NARROW, dark=True)
    narrow.open("/audit")
    narrow.click("summary.small >> nth=0")
    narrow.look("changes-narrow")
    narrow.close()
    ana.close()


def test_the_log_is_read_by_pages(browser: Browser, guarded: Server) -> None:
    workspace = Workspace.open(guarded.log.parent)
    for _ in range(60):
        workspace.instances.create_draft("<script>alert(1)</script> x", {})
    workspace.close()
    ana = entered(browser, guarded, "ana")
    ana.open("/audit?kind=instance")
    assert ana.page.locator(".changes li").count() == 50
    ana.send("text=Earlier")
    ana.settle()
    assert ana.page.locator(".changes li").count() == 10
    ana.send("text=The newest")
    ana.look("changes-by-pages")
    ana.close()


def test_settings_are_shown_without_secrets(browser: Browser, guarded: Server) -> None:
    eve = entered(browser, guarded, "eve")
    eve.open("/settings")
    eve.page.wait_for_selector("text=Free")
    eve.look("settings")
    shown = eve.page.content()
    assert ("https://hooks.example.com/…" in shown, "s3cret" in shown) == (True, False)
    eve.close()
    narrow = entered(browser, guarded, "eve", width=NARROW, dark=True)
    narrow.open("/settings")
    narrow.look("settings-narrow")
    narrow.close()


def test_without_log_in_the_pages_say_so(browser: Browser, tmp_path: Path) -> None:
    with serving(made(tmp_path / "shop"), "--no-auth") as server:
        visitor = Visitor(browser, server.url)
        for path in ("/people", "/account"):
            visitor.open(path)
            assert "--no-auth" in visitor.page.locator(".callout-warned").inner_text()
            visitor.look(f"no-auth{path.replace('/', '-')}")
        visitor.open("/settings")
        assert "switched off" in visitor.page.content()
        told = httpx.post(f"{server.url}/account/tokens", data={"name": "x"})
        assert (told.status_code, told.json()["error"]["symbol"]) == (422, "REQUEST_INVALID")
        visitor.close()
