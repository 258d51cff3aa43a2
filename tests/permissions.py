"""Who may use which route: every route of an application, asked by nobody, by one who views and by one who manages.

    RULES = {("GET", "/api/v1/users"): "manage", ("GET", "/healthz"): "anyone", …}
    assert wrong(app, workspace, address, RULES) == []

A route that is missing from the rules is wrong, and so is a rule without a route.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx
from fastapi import FastAPI
from sqlalchemy import select

from propend.server import pages
from propend.server.access import COOKIE, CSRF_HEADER
from propend.store.catalog import UserRow, now
from propend.workspace import Workspace
from propend.workspace.sessions import csrf_of

ACCESS_RULES = {
    ("POST", "/api/v1/session"): "anyone",
    ("GET", "/api/v1/session"): "view",
    ("DELETE", "/api/v1/session"): "view",
    ("POST", "/api/v1/setup"): "anyone",
    ("GET", "/api/v1/oidc/login"): "anyone",
    ("GET", "/api/v1/oidc/callback"): "anyone",
    ("GET", "/api/v1/users"): "manage",
    ("POST", "/api/v1/users"): "manage",
    ("PATCH", "/api/v1/users/{name}"): "manage",
    ("PUT", "/api/v1/users/{name}/password"): "manage",  # one's own apart, which the test of passwords is about
    ("GET", "/api/v1/tokens"): "view",
    ("POST", "/api/v1/tokens"): "view",
    ("DELETE", "/api/v1/tokens/{token_id}"): "view",
    ("GET", "/api/v1/audit"): "manage",
}
"""Of the routes of access; the whole application adds its own."""
BODIES = {("PUT", "/api/v1/users/{name}/password"): {"password": "four or five long words"}}
"""Where a route decides by what is sent, and an empty body would be refused before."""
OF_THE_FRAMEWORK = ("/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")
"""The document of all routes and pages that show it; anyone may read them."""
ASKING = (None, "view", "manage")


def routes(app: FastAPI) -> set[tuple[str, str]]:
    """Method and path of every route of an application: those of its OpenAPI document, and those hidden from it."""
    paths = app.openapi()["paths"]
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    has_pages = any(getattr(route, "name", None) == "static" for route in app.routes)
    hidden = [route for router in pages.ROUTERS for route in router.routes] if has_pages else []
    for route in [*app.routes, *hidden]:
        path = getattr(route, "path", None)
        if path is not None and path not in OF_THE_FRAMEWORK:
            path = path.replace(":path}", "}")  # as OpenAPI has it
            found |= {(method, path) for method in getattr(route, "methods", None) or () if method != "HEAD"}
    return found


def wrong(app: FastAPI, workspace: Workspace, address: str, rules: Mapping[tuple[str, str], str]) -> list[str]:
    """What does not keep to the rules, in words; the application is served at ``address``, with log-in.

    Refused by 401 and 403 alone: whoever may use a route gets another answer, whatever it is.
    """
    found = [f"{m} {p} has no rule" for m, p in sorted(routes(app) - rules.keys())]
    found += [f"{m} {p} has a rule, and is no route" for m, p in sorted(rules.keys() - routes(app))]
    for (method, path), least in sorted(rules.items()):
        for role in ASKING:
            status = _status(app, workspace, address, method, path, role)
            expected = _refused(role, least)
            if (status if status in (401, 403) else None) != expected and not (role is None and least == "anyone"):
                found.append(f"{method} {path} answers {role or 'nobody'} with {status}, not {expected or 'otherwise'}")
            elif role is None and least == "anyone" and status == 403:
                found.append(f"{method} {path} answers nobody with 403")
    return found


def _refused(role: str | None, least: str) -> int | None:
    if least == "anyone":
        return None
    if role is None:
        return 401
    return 403 if least == "manage" and role == "view" else None


def _status(
    app: FastAPI, workspace: Workspace, address: str, method: str, path: str, role: str | None
) -> int:  # fmt: skip
    """The answer to a request that says as little as it can: ids that are nobody's, and no body."""
    headers, cookies = {}, {}
    if role is not None:
        secret = app.state.accounts.sessions.start(_someone(workspace, role))
        headers, cookies = {CSRF_HEADER: csrf_of(secret)}, {COOKIE: secret}
    filled = re.sub(r"\{[^}]+\}", "987654", path)
    with httpx.Client(base_url=address, cookies=cookies, headers=headers, timeout=60) as client:
        return client.request(method, filled, json=BODIES.get((method, path))).status_code


def _someone(workspace: Workspace, role: str) -> int:
    """The id of a user of a role, made where there is none; without a password, which takes time."""
    name = f"one.who.{role}s"
    with workspace.catalog.writing() as session:
        user = session.scalars(select(UserRow).where(UserRow.name == name)).one_or_none()
        if user is None:
            user = UserRow(name=name, role=role, disabled=False, created_at=now())
            session.add(user)
            session.flush()
        return user.id
