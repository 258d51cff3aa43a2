"""Access over HTTP, at a real server: who may use which route, cookies, forged requests, tokens, OpenID Connect."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from argon2 import PasswordHasher
from sqlalchemy import update

from loopback import application, served
from openid_provider import Identity, OpenIdProvider, another_key, curve_key, provider
from permissions import ACCESS_RULES, wrong
from postgres import databases
from propend.errors import ConfigurationError
from propend.server.access import CSRF_FIELD, CSRF_HEADER, first_start
from propend.server.oidc import SECRET_VARIABLE
from propend.store.catalog import SessionRow, TokenRow, now
from propend.workspace import Workspace
from propend.workspace.accounts import Accounts
from propend.workspace.audit import note

PASSWORD, OTHER = "correct horse battery", "staple correct horse"
CLIENT_SECRET = "the-client-secret-of-a-test"
Opening = Callable[..., str]


class Site:
    """A served workspace, with a user who manages and one who views."""

    def __init__(self, workspace: Workspace, address: str, app: Any) -> None:
        self.workspace, self.address, self.app = workspace, address, app
        self.accounts: Accounts = app.state.accounts
        self.clients: list[httpx.Client] = []

    def client(self, name: str | None = None, **options: Any) -> httpx.Client:
        """A browser, logged in as somebody, which sends what its pages would."""
        client = httpx.Client(base_url=f"{self.address}/api/v1", timeout=60, **options)
        self.clients.append(client)
        if name is not None:
            answer = client.post("/session", json={"name": name, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            client.headers[CSRF_HEADER] = answer.json()["csrf"]
        return client

    def program(self, name: str, scope: str = "view") -> tuple[httpx.Client, int]:
        """A program with a token of somebody's, and the token's id."""
        secret, row = self.accounts.tokens.create(name, "test", scope, 1, name)  # type: ignore[arg-type]
        return self.client(headers={"Authorization": f"Bearer {secret}"}), row.id

    def close(self) -> None:
        """Close all connections."""
        for client in self.clients:
            client.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time: how strong they are is no matter here."""
    monkeypatch.setattr(
        "propend.workspace.accounts.PasswordHasher",
        lambda: PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1),
    )


@pytest.fixture
def opening(tmp_path: Path, quick: None) -> Iterator[Callable[..., Site]]:
    """Opens sites, and closes them at the end."""
    with ExitStack() as stack:

        def opened(settings: str = "", url: str | None = None, enabled: bool = True, people: bool = True) -> Site:
            (tmp_path / "propend.toml").write_text(settings, encoding="utf-8")
            workspace = Workspace.open(tmp_path, url)
            stack.callback(workspace.close)
            app = application(workspace, enabled)
            site = Site(workspace, stack.enter_context(served(app)), app)
            stack.callback(site.close)
            if people:
                site.accounts.add("ana", "manage", PASSWORD, "local")
                site.accounts.add("bo", "view", PASSWORD, "local")
            return site

        yield opened


@pytest.fixture
def site(opening: Callable[..., Site]) -> Site:
    return opening()


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, opening: Callable[..., Site]) -> Site:
    return opening(url=None if request.param == "sqlite" else databases(request).new())


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# --- who may ----------------------------------------------------------------------------------------------------


def test_every_route_is_for_whom_the_rules_say(either: Site) -> None:
    assert wrong(either.app, either.workspace, either.address, ACCESS_RULES) == []


def test_a_route_without_a_rule_is_found(site: Site) -> None:
    rules = {k: v for k, v in ACCESS_RULES.items() if k != ("GET", "/api/v1/audit")}
    rules[("GET", "/api/v1/users")] = "view"
    rules[("GET", "/api/v1/nothing")] = "manage"

    def hidden() -> str:
        return "shown to anyone"

    site.app.add_api_route("/hidden", hidden, include_in_schema=False)
    told = wrong(site.app, site.workspace, site.address, rules)
    assert "GET /hidden has no rule" in told
    assert "GET /api/v1/audit has no rule" in told
    assert "GET /api/v1/nothing has a rule, and is no route" in told
    assert "GET /api/v1/users answers view with 403, not otherwise" in told


def test_all_answers_and_bodies_are_documented(site: Site) -> None:
    document = site.app.openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"] and operation["description"], path
            assert "503" in operation["responses"], (method, path)
    for name, shape in document["components"]["schemas"].items():
        for field, schema in shape.get("properties", {}).items():
            known = "examples" in schema or "$ref" in json.dumps(schema)
            assert known or name in ("HTTPValidationError", "ValidationError"), (name, field)


def test_tokens_ask_with_their_scope(either: Site) -> None:
    managing, _ = either.program("ana", "manage")
    viewing, token_id = either.program("ana", "view")
    assert managing.get("/users").status_code == 200
    assert managing.post("/users", json={"name": "cy", "role": "view"}).status_code == 201  # no CSRF needed
    assert code(viewing.get("/users")) == (403, "PROPEND-131")
    assert viewing.get("/session").json() == {"name": "ana", "role": "view", "csrf": None}
    for client in (managing, viewing):  # whoever finds a token shall not have more
        assert code(client.post("/tokens", json={"name": "more"})) == (403, "PROPEND-131")
        answer = client.put("/users/ana/password", json={"password": OTHER, "present": PASSWORD})
        assert code(answer) == (403, "PROPEND-131")
    assert managing.delete(f"/tokens/{token_id}").status_code == 204
    assert code(viewing.get("/session")) == (401, "PROPEND-130")
    with either.workspace.catalog.writing() as session:
        session.execute(update(TokenRow).values(expires_at=now() - timedelta(seconds=1)))
    assert managing.get("/users").status_code == 401
    for header in ("Bearer", "Bearer x", "bearer pp_" + "x" * 43, "Basic YTpi"):
        assert httpx.get(f"{either.address}/api/v1/session", headers={"Authorization": header}).status_code == 401
    manager = either.client("ana")  # a wrong token is not mended by a right cookie
    assert manager.get("/session", headers={"Authorization": "Bearer pp_x"}).status_code == 401


def test_one_sees_and_ends_ones_own_tokens(site: Site) -> None:
    ana, bo = site.client("ana"), site.client("bo")
    made = bo.post("/tokens", json={"name": "reports", "days": None})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert code(bo.post("/tokens", json={"name": "deploy", "scope": "manage"})) == (403, "PROPEND-131")
    of_ana = ana.post("/tokens", json={"name": "deploy", "scope": "manage"}).json()
    listed = bo.get("/tokens").json()["items"]
    assert [(t["owner"], t["name"], t["first"], t["expires_at"]) for t in listed] == [
        ("bo", "reports", made.json()["secret"][:9], None)
    ]
    assert "secret" not in listed[0]
    assert [t["owner"] for t in ana.get("/tokens").json()["items"]] == ["ana", "bo"]
    first = ana.get("/tokens?limit=1").json()
    assert [t["owner"] for t in ana.get(f"/tokens?limit=1&cursor={first['next']}").json()["items"]] == ["bo"]
    assert code(bo.delete(f"/tokens/{of_ana['id']}")) == (404, "PROPEND-103")
    assert ana.delete(f"/tokens/{made.json()['id']}").status_code == 204


# --- sessions ---------------------------------------------------------------------------------------------------


def cookies(answer: httpx.Response) -> dict[str, set[str]]:
    """Of each cookie that is set: its name, and its flags in small letters."""
    found = {}
    for header in answer.headers.get_list("set-cookie"):
        first, *flags = header.split("; ")
        found[first.partition("=")[0]] = {flag.lower() for flag in flags}
    return found


def test_cookies_are_not_for_scripts_or_others(site: Site) -> None:
    log_in = {"name": "ana", "password": PASSWORD}
    answer = httpx.post(f"{site.address}/api/v1/session", json=log_in)
    assert cookies(answer)["propend"] == {"httponly", "max-age=43200", "path=/", "samesite=lax"}
    assert answer.headers["cache-control"] == "no-store"
    behind = {"Host": "propend.example.com", "X-Forwarded-Proto": "https"}
    for headers in (behind, {"Host": "propend.example.com"}, {"Host": "localhost", "X-Forwarded-Proto": "https"}):
        answer = httpx.post(f"{site.address}/api/v1/session", json=log_in, headers=headers)
        assert "secure" in cookies(answer)["__Host-propend"]
        secret = answer.cookies["__Host-propend"]
        asked = f"{site.address}/api/v1/session"
        for name, status in (("propend", 401), ("__Host-propend", 200)):
            sent = headers | {"Cookie": f"{name}={secret}"}
            assert httpx.get(asked, headers=sent).status_code == status


def test_an_address_from_the_settings_says_whether_cookies_are_secure(opening: Callable[..., Site]) -> None:
    site = opening('[access]\naddress = "https://propend.example.com"\nsession_hours = 1\n')
    log_in = {"name": "ana", "password": PASSWORD}
    answer = httpx.post(f"{site.address}/api/v1/session", json=log_in)  # a proxy here has changed the name
    assert cookies(answer)["__Host-propend"] >= {"secure", "max-age=3600"}
    for origin, status in (("https://propend.example.com", 200), (site.address, 403)):
        asked = httpx.post(f"{site.address}/api/v1/session", json=log_in, headers={"Origin": origin})
        assert asked.status_code == status


def test_log_in_gives_a_new_session_whatever_the_browser_had(site: Site) -> None:
    chosen = "session-that-somebody-else-has-chosen"
    client = site.client()
    client.cookies.set("propend", chosen, domain="127.0.0.1")
    before = client.post("/session", json={"name": "bo", "password": PASSWORD})
    first = before.cookies["propend"]
    assert first != chosen
    with httpx.Client(base_url=f"{site.address}/api/v1") as other:
        assert other.get("/session", headers={"Cookie": f"propend={chosen}"}).status_code == 401
        after = other.post(
            "/session", json={"name": "ana", "password": PASSWORD}, headers={"Cookie": f"propend={first}"}
        )
        assert after.cookies["propend"] != first
        other.cookies.clear()
        assert other.get("/session", headers={"Cookie": f"propend={first}"}).status_code == 401


def test_sessions_end(site: Site) -> None:
    ana, other, bo = site.client("ana"), site.client("ana"), site.client("bo")
    answer = ana.delete("/session")
    assert (answer.status_code, cookies(answer)["propend"] >= {"max-age=0"}) == (204, True)
    assert ana.get("/session").status_code == 401
    secret = other.cookies["propend"]
    changed = other.put("/users/ana/password", json={"password": OTHER, "present": PASSWORD})
    assert changed.status_code == 204
    assert other.get("/session").json()["name"] == "ana"  # goes on, with a new secret
    assert httpx.get(f"{site.address}/api/v1/session", headers={"Cookie": f"propend={secret}"}).status_code == 401
    with site.workspace.catalog.writing() as session:
        session.execute(update(SessionRow).values(expires_at=now() - timedelta(seconds=1)))
    assert code(bo.get("/session")) == (401, "PROPEND-130")


def test_disabling_ends_everything_at_once(site: Site) -> None:
    ana, bo = site.client("ana"), site.client("bo")
    program, _ = site.program("bo")
    assert (bo.get("/session").status_code, program.get("/session").status_code) == (200, 200)
    answer = ana.patch("/users/BO", json={"disabled": True})
    assert (answer.status_code, answer.json()["disabled"]) == (200, True)
    assert (bo.get("/session").status_code, program.get("/session").status_code) == (401, 401)
    assert code(ana.patch("/users/ana", json={"role": "view"})) == (409, "PROPEND-113")
    assert code(ana.patch("/users/nobody", json={})) == (404, "PROPEND-103")
    assert ana.patch("/users/bo", json={"name": "cy"}).status_code == 422


def test_passwords_are_changed_with_the_present_one_or_by_who_manages(site: Site) -> None:
    ana, bo = site.client("ana"), site.client("bo")
    assert code(bo.put("/users/ana/password", json={"password": OTHER})) == (403, "PROPEND-131")
    assert code(bo.put("/users/bo/password", json={"password": OTHER})) == (401, "PROPEND-130")
    assert code(bo.put("/users/bo/password", json={"password": OTHER, "present": "x"})) == (401, "PROPEND-130")
    assert code(bo.put("/users/bo/password", json={"password": "short", "present": PASSWORD})) == (422, "PROPEND-133")
    assert bo.put("/users/bo/password", json={"password": OTHER, "present": PASSWORD}).status_code == 204
    assert code(ana.put("/users/ana/password", json={"password": OTHER})) == (401, "PROPEND-130")
    assert ana.put("/users/bo/password", json={"password": "another long password"}).status_code == 204
    assert bo.get("/session").status_code == 401


def test_the_first_start(opening: Callable[..., Site]) -> None:
    site = opening(people=False)
    said = first_start(site.app) or ""
    token = said.split("\n\n")[1].strip()
    client = site.client()
    body = {"token": "x", "name": "Ana", "password": PASSWORD}
    assert code(client.post("/setup", json=body)) == (401, "PROPEND-130")
    answer = client.post("/setup", json=body | {"token": token})
    assert (answer.status_code, answer.json()["name"], answer.json()["role"]) == (201, "ana", "manage")
    assert client.get("/users").json()["items"][0]["name"] == "ana"
    assert first_start(site.app) is None
    assert code(client.post("/setup", json=body | {"token": token})) == (401, "PROPEND-130")


def test_names_of_any_kind_are_refused_politely(either: Site) -> None:
    ana = either.client("ana")
    for name in ("\x00", "\ud800", "'; DROP TABLE users; --", "é" * 200, "🙂"):
        body = json.dumps({"name": name, "password": PASSWORD, "token": "x", "role": "view"})
        json_type = {"Content-Type": "application/json"}
        for path, statuses in (("/session", (401, 422, 429)), ("/setup", (422,)), ("/users", (422,))):
            assert ana.post(path, content=body, headers=json_type).status_code in statuses
    for path in ("/audit?who=%00", "/audit?subject=%00"):
        assert ana.get(path).status_code == 422
    assert ana.patch("/users/%00", json={"role": "view"}).status_code == 404
    assert ana.get("/session", headers={"Authorization": b"Bearer pp_\xff"}).status_code == 401
    assert ana.get("/session", headers={"Cookie": b"propend=\xff"}).status_code == 401
    assert ana.get("/session").status_code == 200


# --- forged requests --------------------------------------------------------------------------------------------


def test_a_change_by_a_session_needs_what_its_pages_know(site: Site) -> None:
    ana, other = site.client("ana"), site.client("ana")
    right, others = ana.headers.pop(CSRF_HEADER), other.headers[CSRF_HEADER]
    new = {"name": "cy", "role": "view"}
    asked: list[dict[str, Any]] = [{}, {"headers": {CSRF_HEADER: ""}}, {"headers": {CSRF_HEADER: others}}]
    for more in asked:
        answer = ana.post("/users", json=new, **more)
        assert code(answer) == (403, "PROPEND-131")
    assert ana.delete("/session").status_code == 403
    assert ana.get("/session").json()["csrf"] == right
    assert ana.post("/users", json=new, headers={CSRF_HEADER: right}).status_code == 201
    form = {CSRF_FIELD: right, "name": "di"}
    assert ana.post("/users", data=form).status_code == 422  # passes the gate; the route takes JSON
    assert code(ana.post("/users", data=form | {CSRF_FIELD: others})) == (403, "PROPEND-131")
    assert code(ana.post("/users", data={"x": "x" * 1_000_001})) == (403, "PROPEND-131")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_change_nothing(site: Site, headers: dict[str, str]) -> None:
    ana = site.client("ana")
    assert code(ana.post("/users", json={"name": "cy", "role": "view"}, headers=headers)) == (403, "PROPEND-131")
    log_in = {"name": "ana", "password": PASSWORD}
    assert code(httpx.post(f"{site.address}/api/v1/session", json=log_in, headers=headers)) == (403, "PROPEND-131")
    own = {"Origin": site.address, "Sec-Fetch-Site": "same-origin"}
    assert ana.post("/users", json={"name": "cy", "role": "view"}, headers=own).status_code == 201


def test_without_log_in_only_this_machine_asks_by_its_own_name(opening: Callable[..., Site]) -> None:
    site = opening(enabled=False, people=False)
    client = site.client()
    assert client.get("/session").json() == {"name": "local", "role": "manage", "csrf": None}
    assert client.post("/users", json={"name": "ana", "role": "manage", "password": PASSWORD}).status_code == 201
    for host in ("evil.example.com", "evil.example.com:8080", "10.0.0.1", "[", ""):
        assert code(client.get("/session", headers={"Host": host})) == (403, "PROPEND-131")
    for host in ("localhost:1", "[::1]:8080", "127.0.0.2"):
        assert client.get("/session", headers={"Host": host}).status_code == 200
    evil = {"Origin": "https://evil.example.com"}
    assert code(client.post("/users", json={"name": "bo", "role": "view"}, headers=evil)) == (403, "PROPEND-131")


# --- failures ---------------------------------------------------------------------------------------------------


def test_failed_log_ins_wait_at_every_server(site: Site) -> None:
    second = application(site.workspace)
    wrong_password, unknown = {"name": "ana", "password": OTHER}, {"name": "nobody", "password": OTHER}
    with served(second) as address:
        told = []
        for i, body in enumerate([wrong_password, unknown] * 5):
            at = (site.address, address)[i // 2 % 2]
            answer = httpx.post(f"{at}/api/v1/session", json=body)
            told.append((answer.status_code, answer.json()))
        assert told == [told[0]] * 10
        assert told[0][0] == 401
        for at in (site.address, address):
            answer = httpx.post(f"{at}/api/v1/session", json={"name": "ana", "password": PASSWORD})
            assert (code(answer), answer.headers["retry-after"]) == ((429, "PROPEND-132"), "1")
        assert httpx.post(f"{address}/api/v1/session", json={"name": "bo", "password": PASSWORD}).status_code == 200


def test_nothing_secret_is_logged_or_told(site: Site, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)  # the test's own client speaks of what it sends
    ana = site.client("ana")
    token = ana.post("/tokens", json={"name": "reports"}).json()["secret"]
    ana.put("/users/bo/password", json={"password": OTHER})
    for body in ({"name": "ana", "password": OTHER}, {"name": OTHER, "password": PASSWORD}, {"password": OTHER}):
        httpx.post(f"{site.address}/api/v1/session", json=body)
    httpx.get(f"{site.address}/api/v1/users", headers={"Authorization": f"Bearer {token}"})
    told = ana.get("/audit?format=json").text + ana.get("/users").text + ana.get("/tokens").text
    told += "\n".join(record.getMessage() for record in caplog.records)
    assert re.search(r"POST /api/v1/session", told)
    for hidden in (PASSWORD, OTHER, token, ana.cookies["propend"], ana.headers[CSRF_HEADER], "$argon2"):
        assert hidden not in told
    told = repr(site.app.state.accounts.log_in)
    assert PASSWORD not in told


# --- the log of changes -----------------------------------------------------------------------------------------


def test_the_log_of_changes_is_read_by_pages_and_exported(either: Site) -> None:
    ana = either.client("ana")
    with either.workspace.catalog.writing() as session:
        for i in range(2100):
            note(session, "cy", "update", "segment", f"s{i}", after={"i": i})
        note(session, "cy", "update", "segment", '=HYPERLINK("x")', {"a": "é,\n"}, {"b": "@x"})
    page = ana.get("/audit", params={"who": "cy", "limit": 1000}).json()
    assert (len(page["items"]), page["items"][0]["subject"]) == (1000, '=HYPERLINK("x")')
    seen = [e["id"] for e in page["items"]]
    while page["next"]:
        page = ana.get("/audit", params={"who": "cy", "limit": 1000, "cursor": page["next"]}).json()
        seen += [e["id"] for e in page["items"]]
    assert (len(seen), seen) == (2101, sorted(set(seen), reverse=True))
    assert len(ana.get("/audit", params={"subject": "s7"}).json()["items"]) == 1
    assert ana.get("/audit", params={"limit": 1001}).status_code == 422
    exported = ana.get("/audit", params={"format": "csv", "who": "cy"})
    assert exported.headers["content-type"] == "text/csv; charset=utf-8"
    assert "audit.csv" in exported.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(exported.text)))
    assert (len(lines), lines[0]["subject"], lines[0]["before"]) == (2101, '\'=HYPERLINK("x")', '{"a": "é,\\n"}')
    document = ana.get("/audit", params={"format": "json"}).json()
    assert (len(document["items"]) > 2101, document["next"]) == (True, None)
    assert {"ana", "cy", "local"} == {e["who"] for e in document["items"]}
    assert ana.get("/audit", params={"format": "json", "who": "nobody"}).json() == {"items": [], "next": None}


def test_who_logs_in_and_fails_is_in_the_log_of_changes(site: Site) -> None:
    ana = site.client("ana")
    for name in ("ana", "nobody"):
        ana.post("/session", json={"name": name, "password": OTHER})
    found = [(e["who"], e["action"], e["subject"]) for e in ana.get("/audit?limit=3").json()["items"]]
    assert found == [
        ("anonymous", "fail to log in", "unknown name"), ("ana", "fail to log in", "ana"), ("ana", "log in", "ana"),
    ]  # fmt: skip


# --- OpenID Connect ---------------------------------------------------------------------------------------------


@pytest.fixture
def known(opening: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Site, OpenIdProvider]]:
    """A site whose people come from a provider; newcomers of one domain may view."""
    monkeypatch.setenv(SECRET_VARIABLE, CLIENT_SECRET)
    with provider("propend", CLIENT_SECRET) as found:
        settings = f'[access.oidc]\nissuer = "{found.issuer}"\nclient_id = "propend"\n'
        yield opening(settings + 'domains = ["example.com"]\nnewcomers = "view"\n'), found


def arrive(site: Site, browser: httpx.Client | None = None) -> tuple[httpx.Response, httpx.Client]:
    """What the server answers to whoever comes back from the provider, and the browser."""
    browser = browser or site.client()
    to_provider = browser.get("/oidc/login")
    assert to_provider.status_code == 303
    return browser.get(httpx.get(to_provider.headers["location"]).headers["location"]), browser


def test_people_come_by_openid_connect(known: tuple[Site, OpenIdProvider]) -> None:
    site, _ = known
    answer, browser = arrive(site)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.get("/session").json()["name"] == "bo@example.com"
    assert [c.name for c in browser.cookies.jar] == ["propend"]
    answer, browser = arrive(site)
    assert [(u["name"], u["comes_by"], u["role"]) for u in site.client("ana").get("/users").json()["items"]] == [
        ("ana", "password", "manage"), ("bo", "password", "view"), ("bo@example.com", "oidc", "view"),
    ]  # fmt: skip
    site.accounts.change("bo@example.com", "ana", disabled=True)
    assert code(arrive(site)[0]) == (401, "PROPEND-130")


def test_log_in_elsewhere_has_state_nonce_and_pkce(known: tuple[Site, OpenIdProvider]) -> None:
    site, _ = known
    first, second = (site.client().get("/oidc/login") for _ in range(2))
    assert cookies(first)["propend-oidc"] == {"httponly", "max-age=600", "path=/", "samesite=lax"}
    asked = [dict(parse_qsl(urlsplit(a.headers["location"]).query)) for a in (first, second)]
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]
    assert asked[0]["redirect_uri"] == f"{site.address}/api/v1/oidc/callback"
    assert first.cookies["propend-oidc"] not in first.headers["location"]


def test_answers_are_taken_from_the_browser_that_asked_and_once(known: tuple[Site, OpenIdProvider]) -> None:
    site, _ = known
    browser = site.client()
    back = httpx.get(browser.get("/oidc/login").headers["location"]).headers["location"]
    assert code(site.client().get(back)) == (401, "PROPEND-130")  # without the cookie
    other = site.client()
    other.get("/oidc/login")
    assert code(other.get(back)) == (401, "PROPEND-130")  # with another's
    assert code(browser.get(back + "x")) == (401, "PROPEND-130")
    secret = browser.cookies["propend-oidc"]
    assert browser.get(back).status_code == 303
    again = httpx.get(back, headers={"Cookie": f"propend-oidc={secret}"})
    assert code(again) == (401, "PROPEND-130")  # the provider takes a code once
    assert code(browser.get("/oidc/callback?error=access_denied")) == (401, "PROPEND-130")
    assert code(browser.get("/oidc/callback?state=%C3%A9&code=x")) == (401, "PROPEND-130")


@pytest.mark.parametrize(
    ("identity", "status"),
    [
        (Identity({"nonce": "another"}), 401),
        (Identity({"aud": "another"}), 401),
        (Identity({"aud": ["propend", "another"], "azp": "another"}), 401),
        (Identity({"iss": "https://id.example.com"}), 401),
        (Identity({"exp": 1_700_000_000}), 401),
        (Identity({"iat": 4_000_000_000}), 401),
        (Identity(omit=("sub",)), 401),
        (Identity(omit=("nonce",)), 401),
        (Identity(omit=("exp",)), 401),
        (Identity(key=another_key()), 401),
        (Identity(key=curve_key(), algorithm="ES256"), 401),
        (Identity({"email_verified": False}), 403),
        (Identity({"email_verified": "true"}), 403),
        (Identity(omit=("email_verified",)), 403),
        (Identity(omit=("email",)), 403),
        (Identity({"email": "bo@example.com.evil.org"}), 403),
        (Identity({"email": "bo@evilexample.com"}), 403),
    ],
)
def test_what_the_provider_signs_must_be_right(
    known: tuple[Site, OpenIdProvider], identity: Identity, status: int
) -> None:
    site, found = known
    found.identity = identity
    answer, browser = arrive(site)
    assert answer.status_code == status
    assert browser.get("/session").status_code == 401
    assert len(site.accounts.users()) == 2


def test_new_keys_of_the_provider_are_read(known: tuple[Site, OpenIdProvider]) -> None:
    site, found = known
    assert arrive(site)[0].status_code == 303
    assert arrive(site)[0].status_code == 303
    assert (found.asked.count("/keys"), found.asked.count("/.well-known/openid-configuration")) == (1, 1)
    found.key = another_key()
    assert arrive(site)[0].status_code == 303
    assert found.asked.count("/keys") == 2


def test_a_provider_that_does_not_answer_is_told(opening: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = '[access.oidc]\nissuer = "http://127.0.0.1:9"\nclient_id = "propend"\n'
    with pytest.raises(ConfigurationError, match=SECRET_VARIABLE):
        opening(settings)
    monkeypatch.setenv(SECRET_VARIABLE, CLIENT_SECRET)
    site = opening(settings)
    assert code(site.client().get("/oidc/login")) == (502, "PROPEND-150")


def test_without_a_provider_there_is_no_log_in_elsewhere(site: Site) -> None:
    assert code(site.client().get("/oidc/login")) == (404, "PROPEND-103")
    assert code(site.client().get("/oidc/callback?code=x&state=y")) == (404, "PROPEND-103")
