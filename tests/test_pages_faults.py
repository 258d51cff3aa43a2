"""What people see when something goes wrong: a page in words, with nothing in it that is not for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser

from browser import NARROW, Visitor
from loopback import served
from propend.errors import CatalogUnavailableError
from propend.server.access import COOKIE
from propend.server.app import create_app
from propend.server.pages import shell
from propend.workspace import Workspace
from workspaces import opened

pytestmark = pytest.mark.browser
PASSWORD = "a quiet place by the sea"
CUSTOMER = "the name of a customer"
HTML = {"Accept": "text/html,application/xhtml+xml"}
get, post, delete = (partial(ask, timeout=60) for ask in (httpx.get, httpx.post, httpx.delete))
"""The machine may have much to do: nothing here is about how long an answer takes."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    found = opened(tmp_path_factory.mktemp("faults") / "shop")
    yield found
    found.close()


@pytest.fixture
def app(workspace: Workspace) -> FastAPI:
    return create_app(workspace)


def someone(app: FastAPI, role: str) -> str:
    """The secret of a session."""
    accounts = app.state.accounts
    if role not in [user.name for user in accounts.users()]:
        accounts.add(role, role, PASSWORD, "local")
    return str(accounts.sessions.start(accounts.user(role).id))


def heading(answer: httpx.Response) -> str:
    found = re.search(r"<h1>(.*?)</h1>", answer.text)
    return found[1] if found else ""


def fails(*_: object, **__: object) -> None:
    raise KeyError(CUSTOMER)


def is_away(*_: object, **__: object) -> None:
    raise CatalogUnavailableError("The catalog 'postgresql://db.inner/propend' cannot be used.", "look.")


def test_a_fault_is_a_page_that_names_its_place_in_the_log_and_nobody(
    app: FastAPI, browser: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app.state.overview, "scored_this_year", fails)
    app.state.workspace.instances.create_draft("Something", {})
    secret = someone(app, "view")
    with served(app) as address:
        asked = get(address, headers=HTML | {"X-Request-ID": "r-17"}, cookies={COOKIE: secret})
        assert (asked.status_code, heading(asked)) == (500, "A fault of propend")
        assert "request r-17" in asked.text
        assert CUSTOMER not in asked.text + caplog.text
        assert "default-src 'none'" in asked.headers["content-security-policy"]
        plain = get(address, cookies={COOKIE: secret})
        assert (plain.status_code, plain.json()["error"]["symbol"]) == (500, "UNEXPECTED")
        part = get(address, headers={"HX-Request": "true"}, cookies={COOKIE: secret})
        assert (part.status_code, "<html" in part.text, "callout" in part.text) == (500, False, True)
        for width, dark in ((1440, False), (NARROW, True)):
            visitor = Visitor(browser, address, width=width, dark=dark)
            visitor.context.add_cookies([{"name": COOKIE, "value": secret, "url": address}])
            visitor.open("/")
            visitor.complaints.clear()  # the browser tells of the 500 itself
            visitor.look(f"fault-{width}")
            visitor.close()


def test_a_catalog_that_is_away_is_a_page_and_its_address_is_for_those_who_manage(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewing, managing = someone(app, "view"), someone(app, "manage")
    with served(app) as address:
        with monkeypatch.context() as patched:
            patched.setattr(app.state.workspace.instances, "all", is_away)
            asked = get(address, headers=HTML, cookies={COOKIE: viewing})
            assert (asked.status_code, heading(asked)) == (503, "The server cannot answer now")
            assert ("db.inner" in asked.text, asked.headers["retry-after"]) == (False, "5")
            assert "db.inner" in get(address, headers=HTML, cookies={COOKIE: managing}).text
        for name, cookies in (("find", {COOKIE: viewing}), ("users", {})):
            with monkeypatch.context() as patched:
                patched.setattr(app.state.accounts.sessions if name == "find" else app.state.accounts, name, is_away)
                asked = get(address, headers=HTML, cookies=cookies)
                assert (asked.status_code, heading(asked)) == (503, "The server cannot answer now")
                assert "db.inner" not in asked.text


def test_what_the_gate_refuses_is_a_page_where_a_browser_asks(app: FastAPI) -> None:
    cookies = {COOKIE: someone(app, "manage")}
    with served(app) as address:
        forged = post(f"{address}/logout", headers=HTML, cookies=cookies, data={"csrf_token": "wrong"})
        assert (forged.status_code, heading(forged)) == (403, "You may not do this")
        assert "Load it again" in forged.text
        elsewhere = post(f"{address}/login", headers=HTML | {"Origin": "https://evil.example"})
        assert (elsewhere.status_code, heading(elsewhere)) == (403, "You may not do this")
        plain = post(f"{address}/logout", cookies=cookies)
        assert plain.json()["error"]["symbol"] == "NOT_ALLOWED"


def test_what_is_too_large_or_not_there_or_not_understood_is_a_page(app: FastAPI) -> None:
    cookies = {COOKIE: someone(app, "view")}
    with served(app) as address:
        large = post(f"{address}/login", headers=HTML, content=b"x" * 8_000_001)
        assert (large.status_code, heading(large)) == (422, "This did not work")
        for path, status, head in (
            ("/nothing", 404, "There is nothing here"),
            ("/?start=x", 422, "This did not work"),
            ("/api/v1/oidc/callback", 401, ""),
            ("/api/v1/oidc/login", 404, "There is nothing here"),
        ):
            asked = get(address + path, headers=HTML, cookies=cookies)
            assert (asked.status_code, heading(asked)) in ((status, head), (404, "There is nothing here"))
            assert "/openapi.json says" not in asked.text
        wrong = delete(f"{address}/login", headers=HTML)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")


def test_a_fault_of_what_pages_are_made_with_is_answered_plainly(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "for_people", fails)
    app = create_app(workspace)
    monkeypatch.setattr(app.state.accounts, "users", fails)
    with served(app) as address:
        asked = get(f"{address}/login", headers=HTML)
        assert (asked.status_code, asked.json()["error"]["symbol"]) == (500, "UNEXPECTED")
