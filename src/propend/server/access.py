"""Who asks, and what they may: viewers read, managers change (spec OPS-01).

``install`` puts a gate before all routes. It finds who asks from a token (``Authorization: Bearer``) or the cookie of
a session, and says so in ``request.state.caller``. What would change something must come from our own pages: with a
session it carries what only they know, and where a browser names the page that asks, that page is ours.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from propend.errors import CatalogUnavailableError, NotAllowedError, NotLoggedInError, PropendError
from propend.server.oidc import Provider, provider_of
from propend.workspace import Workspace
from propend.workspace.accounts import Accounts
from propend.workspace.audit import LOCAL
from propend.workspace.sessions import Known, digest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Shown = Callable[[Request, JSONResponse], Response]
Send = Callable[[Message], Awaitable[None]]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
BEFORE_LOG_IN = frozenset({"/api/v1/session", "/api/v1/setup"})
"""Posted to by pages without a session, or with one that has ended; where they come from is looked at all the same."""
COOKIE = "propend"
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf_token"
LARGEST_FORM = 1_000_000


@dataclass(frozen=True)
class Caller:
    """Somebody who asks.

    Attributes:
        name: as in the log of changes.
        role: ``view`` or ``manage``.
        by_token: a program asks, with a token.
        session: the secret of a browser's session; empty without one.
    """

    name: str
    role: str
    by_token: bool = False
    session: str = ""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Caller({self.name!r}, {self.role!r})"


def viewer(request: Request) -> Caller:
    """Anybody who may read.

    Raises:
        NotLoggedInError: nobody is known to ask.
    """
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        raise NotLoggedInError(
            "Nobody is logged in, or the session or token has ended.",
            "log in, or send a token: `Authorization: Bearer TOKEN`.",
        )
    return caller


def manager(request: Request) -> Caller:
    """Anybody who may change things.

    Raises:
        NotLoggedInError: nobody is known to ask.
        NotAllowedError: they may only read, or their token may.
    """
    caller = viewer(request)
    if caller.role != "manage":
        raise NotAllowedError(f"{caller.name!r} may view, and not change anything.", "ask somebody who manages.")
    return caller


def accounts_of(request: Request) -> Accounts:
    """The accounts that ``install`` has put into the application."""
    found: Accounts = request.app.state.accounts
    return found


async def _viewer(request: Request) -> Caller:
    """Asynchronous, for what does not wait needs no thread of its own."""
    return viewer(request)


async def _manager(request: Request) -> Caller:
    return manager(request)


Viewer = Annotated[Caller, Depends(_viewer)]
Manager = Annotated[Caller, Depends(_manager)]
People = Annotated[Accounts, Depends(accounts_of)]


# --- the gate -----------------------------------------------------------------------------------------------


def install(app: FastAPI, workspace: Workspace, enabled: bool, shown: Shown | None = None) -> None:
    """Put the gate before an application's routes, and what they need into its state.

    Args:
        enabled: False: whoever reaches the server manages. Then only requests to this machine by its own name are
            answered, so that no page of another site can have the browser ask.
        shown: makes a refusal a page where a browser asked for one; without it, it never is.

    Raises:
        ConfigurationError: OpenID Connect is configured without the client's secret.
    """
    settings = workspace.settings.access
    app.state.accounts = Accounts(workspace.catalog, settings)
    app.state.address = settings.address
    app.state.provider = provider_of(settings.oidc) if settings.oidc else None
    app.add_middleware(
        Gate, accounts=app.state.accounts, address=settings.address, enabled=enabled, shown=shown or _as_it_is
    )


def first_start(app: FastAPI) -> str | None:
    """What a server that starts says as long as there is no user, with a new one-time token; None with users."""
    accounts: Accounts = app.state.accounts
    token = accounts.first_token()
    if token is None:
        return None
    return (
        f"Nobody can log in yet. Make the first user, who manages, within 24 hours, with this token:\n\n    {token}\n\n"
        "by POST /api/v1/setup with token, name and password; or: propend user add NAME --role manage"
    )


class Gate:
    """What every request goes through before its route."""

    def __init__(self, app: Any, accounts: Accounts, address: str | None, enabled: bool, shown: Shown) -> None:
        """``app`` is what is behind it."""
        self._app, self._accounts, self._address, self._enabled = app, accounts, address, enabled
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may not pass; hand on any other."""
        if scope["type"] == "http":
            request = Request(scope, receive)
            try:
                receive = await self._admit(request, receive)
            except NotAllowedError as error:
                await self._shown(request, _refusal(error, 403))(scope, receive, send)
                return
            except CatalogUnavailableError as error:
                await self._shown(request, _refusal(error, 503))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, request: Request, receive: Receive) -> Receive:
        """Find who asks; gives what the body is read from."""
        request.state.caller = None
        changes = request.method not in SAFE
        if not self._enabled:
            _gate_name(request)
            if changes:
                _gate_origin(request, self._address)
            request.state.caller = Caller(LOCAL, "manage")
            return receive
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            known = await run_in_threadpool(self._accounts.tokens.find, token.strip())
            request.state.caller = known and Caller(known.name, known.role, by_token=True)
            return receive
        if changes:
            _gate_origin(request, self._address)
        secret = request.cookies.get(cookie_name(request, self._address), "")
        known = await run_in_threadpool(self._accounts.sessions.find, secret) if secret else None
        if known is None:
            return receive
        if changes and not (request.method == "POST" and request.url.path in BEFORE_LOG_IN):
            receive = await _gate_csrf(request, receive, known)
        request.state.caller = Caller(known.name, known.role, session=secret)
        return receive


def _as_it_is(_request: Request, plain: JSONResponse) -> Response:
    return plain


def _refusal(error: PropendError, status: int) -> JSONResponse:
    headers = {"Retry-After": "5"} if status == 503 else None
    return JSONResponse({"error": error.to_dict()}, status, headers)


def _gate_name(request: Request) -> None:
    """Without log-in, a name that another site has given to this machine's address is not answered to."""
    if not _is_loopback(_host(request)):
        raise NotAllowedError(
            "Without log-in the server answers on this machine only, by the names localhost, 127.0.0.1 and [::1].",
            "use one of them, or start it with log-in.",
        )


def _gate_origin(request: Request, address: str | None) -> None:
    """Where a browser says which page asks for a change, that page is one of this server's."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is None:
        if site in (None, "same-origin", "none"):
            return  # a program, or a browser that says so of our own page
    elif address is not None:
        if origin.lower() == address.lower():
            return
    elif origin.lower().partition("://")[2] == request.headers.get("host", "").lower():
        return
    raise NotAllowedError(
        "A page of another site has asked for a change.",
        "open the server's own address; where it is behind a proxy, say so: `[access] address` in propend.toml.",
    )


async def _gate_csrf(request: Request, receive: Receive, known: Known) -> Receive:
    """A change by a session carries what its own pages know; gives what the body is read from afterwards."""
    sent = request.headers.get(CSRF_HEADER)
    if sent is None and request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        body = await _body(receive)
        sent = dict(parse_qsl(body.decode("latin-1"))).get(CSRF_FIELD)
        receive = _again(body, receive)
    if sent is None or not secrets.compare_digest(digest(sent), known.csrf):
        raise NotAllowedError(
            f"A change by a session needs the session's own {CSRF_HEADER}, and this has none, or another's.",
            f"send `csrf` of GET /api/v1/session as header {CSRF_HEADER} or form field {CSRF_FIELD}.",
            other_session=True,
        )
    return receive


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > LARGEST_FORM:
            raise NotAllowedError(f"A form of more than {LARGEST_FORM:,} bytes is not read.", "send JSON instead.")
        if message["type"] != "http.request" or not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then what comes after it."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def once() -> Message:
        return left.pop() if left else await receive()

    return once


# --- cookies ------------------------------------------------------------------------------------------------


def is_secure(request: Request, address: str | None) -> bool:
    """Whether cookies are for encrypted connections only: always, but on this machine without encryption."""
    if address is not None:
        return address.startswith("https://") or not _is_loopback(urlsplit(address).hostname or "")
    return request.scope["scheme"] == "https" or not _is_loopback(_host(request))


def cookie_name(request: Request, address: str | None, kind: str = "") -> str:
    """A cookie's name; with ``__Host-`` browsers take it from this very server only, over encrypted connections."""
    return ("__Host-" if is_secure(request, address) else "") + COOKIE + kind


def set_cookie(request: Request, response: Response, secret: str, seconds: int, kind: str = "") -> None:
    """Have the browser keep a secret: not for scripts, and not for requests that other sites make; 0 s: no more."""
    address = request.app.state.address
    response.set_cookie(
        cookie_name(request, address, kind), secret, max_age=seconds, path="/", httponly=True, samesite="lax",
        secure=is_secure(request, address),
    )  # fmt: skip
    response.headers["Cache-Control"] = "no-store"


def provider(request: Request) -> Provider | None:
    """Where people log in by OpenID Connect, if anywhere."""
    found: Provider | None = request.app.state.provider
    return found


def _host(request: Request) -> str:
    """The name that a request calls this server by, without the port; empty where it is no name."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
