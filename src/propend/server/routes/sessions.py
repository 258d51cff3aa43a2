"""Log-in and log-out, by password or OpenID Connect; users; tokens."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from propend.errors import InstanceNotFoundError, NotAllowedError, NotLoggedInError
from propend.server.access import (
    Caller,
    Manager,
    People,
    Viewer,
    cookie_name,
    provider,
    set_cookie,
)
from propend.server.oidc import Provider
from propend.server.shapes_access import (
    LogIn,
    MadeToken,
    NewToken,
    NewUser,
    PasswordChange,
    SetUp,
    Token,
    TokenList,
    User,
    UserChange,
    Users,
    Who,
    refusals,
)
from propend.store.catalog import TokenRow, UserRow
from propend.workspace.accounts import Entered
from propend.workspace.sessions import csrf_of

router = APIRouter(tags=["access"])
OIDC_COOKIE, OIDC_SECONDS = "-oidc", 600
BACK = "/api/v1/oidc/callback"

Name = Annotated[str, Path(min_length=1, max_length=200, examples=["ana"], description="Name of the user.")]
TokenId = Annotated[int, Path(ge=1, le=2_000_000_000, examples=[7], description="Id of the token.")]
Cursor = Annotated[int, Query(ge=0, le=2_000_000_000, description="`next` of the page before.", examples=[0])]
PageSize = Annotated[int, Query(ge=1, le=1000, description="So many at most.", examples=[100])]
One = TypeVar("One")


# --- coming in and going ------------------------------------------------------------------------------------


@router.post("/session", responses=refusals(401, 403, 422, 429))
def log_in(request: Request, response: Response, body: LogIn, people: People) -> Who:
    """Log in: a cookie for the browser, and what it sends beside each change."""
    entered = people.log_in(body.name, body.password, caller_address(request), old_session(request))
    return enter(request, response, entered)


@router.get("/session", responses=refusals(401, 403))
def who_asks(response: Response, caller: Viewer) -> Who:
    """Who asks, and what they may."""
    response.headers["Cache-Control"] = "no-store"
    return _who(caller.name, caller.role, caller.session)


@router.delete("/session", status_code=204, responses=refusals(401, 403))
def log_out(request: Request, response: Response, caller: Viewer, people: People) -> None:
    """Log out: the session ends. Tokens do not end by this."""
    if caller.session:
        people.sessions.end(caller.session, caller.name)
        set_cookie(request, response, "", 0)


@router.post("/setup", status_code=201, responses=refusals(401, 403, 422, 429))
def set_up(request: Request, response: Response, body: SetUp, people: People) -> Who:
    """Make the first user, with the token that the server printed, and log them in."""
    return enter(request, response, people.set_up(body.token, body.name, body.password, caller_address(request)))


@router.get(
    "/oidc/login",
    status_code=303,
    response_class=RedirectResponse,
    responses={303: {"description": "to the provider"}, **refusals(403, 404, 502)},
)
def log_in_elsewhere(request: Request) -> RedirectResponse:
    """Send the browser to the OpenID provider."""
    secret = secrets.token_urlsafe(32)
    response = RedirectResponse(_provider(request).address(secret, _back(request)), 303)
    set_cookie(request, response, secret, OIDC_SECONDS, OIDC_COOKIE)
    return response


@router.get(
    "/oidc/callback",
    status_code=303,
    response_class=RedirectResponse,
    responses={303: {"description": "logged in, to the first page"}, **refusals(401, 403, 404, 422, 502)},
)
def back_from_elsewhere(
    request: Request,
    people: People,
    state: Annotated[str, Query(max_length=200, examples=["5f2d7c0e9b"])] = "",
    code: Annotated[str, Query(max_length=4000, examples=["Zk9c3w"])] = "",
    error: Annotated[str, Query(max_length=200, examples=["access_denied"])] = "",
) -> RedirectResponse:
    """Where the OpenID provider sends the browser back: whoever it vouches for is logged in."""
    found = _provider(request)
    secret = request.cookies.get(cookie_name(request, request.app.state.address, OIDC_COOKIE), "")
    if error or not code:
        raise NotLoggedInError("The provider has not let them in.", "log in again.")
    person = found.person(secret, _back(request), code, state)
    entered = people.arrive(person.subject, person.email, found.newcomers, old_session(request))
    response = RedirectResponse("/", 303)
    enter(request, response, entered)
    set_cookie(request, response, "", 0, OIDC_COOKIE)
    return response


# --- users --------------------------------------------------------------------------------------------------


@router.get("/users", responses=refusals(401, 403, 422))
def list_users(_: Manager, people: People, cursor: Cursor = 0, limit: PageSize = 100) -> Users:
    """Everybody who may come in, by name."""
    items, more = _page(people.users(), cursor, limit)
    return Users(items=[_user(row) for row in items], next=more)


@router.post("/users", status_code=201, responses=refusals(401, 403, 409, 422))
def add_user(body: NewUser, caller: Manager, people: People) -> User:
    """Let somebody in from now on."""
    return _user(people.add(body.name, body.role, body.password, caller.name))


@router.patch("/users/{name}", responses=refusals(401, 403, 404, 409, 422))
def change_user(name: Name, body: UserChange, caller: Manager, people: People) -> User:
    """Give somebody another role; or let them in no more, which ends their sessions and tokens at once."""
    return _user(people.change(name, caller.name, role=body.role, disabled=body.disabled))


@router.put("/users/{name}/password", status_code=204, responses=refusals(401, 403, 404, 422, 429))
def set_password(
    request: Request, response: Response, name: Name, body: PasswordChange, caller: Viewer, people: People
) -> None:
    """Set a password: one's own with the present one, in a session; anybody's else who manages. Sessions end."""
    own = name.strip().casefold() == caller.name
    if own:
        _gate_session(caller)
        people.check_password(caller.name, body.present or "", caller_address(request))
    elif caller.role != "manage":
        raise NotAllowedError(f"{caller.name!r} may change their own password only.", "ask somebody who manages.")
    user = people.set_password(name, body.password, caller.name)
    if own:
        enter(request, response, Entered(user.name, user.role, people.sessions.start(user.id)))


# --- tokens -------------------------------------------------------------------------------------------------


@router.get("/tokens", responses=refusals(401, 403, 422))
def list_tokens(caller: Viewer, people: People, cursor: Cursor = 0, limit: PageSize = 100) -> TokenList:
    """One's own tokens, newest first; everybody's for those who manage."""
    rows = people.tokens.rows(None if caller.role == "manage" else caller.name)
    items, more = _page(rows, cursor, limit)
    return TokenList(items=[Token(**_token(row, owner)) for row, owner in items], next=more)


@router.post("/tokens", status_code=201, responses=refusals(401, 403, 404, 422))
def create_token(response: Response, body: NewToken, caller: Viewer, people: People) -> MadeToken:
    """A token for a program of one's own; its secret is in this answer only. A token cannot make another."""
    if caller.by_token:
        _gate_session(caller)
    secret, row = people.tokens.create(caller.name, body.name, body.scope, body.days, caller.name)
    response.headers["Cache-Control"] = "no-store"
    return MadeToken(**_token(row, caller.name), secret=secret)


@router.delete("/tokens/{token_id}", status_code=204, responses=refusals(401, 403, 404, 422))
def revoke_token(token_id: TokenId, caller: Viewer, people: People) -> None:
    """End a token for good: one's own, or anybody's for those who manage."""
    people.tokens.revoke(token_id, caller.name, None if caller.role == "manage" else caller.name)


# --- within -------------------------------------------------------------------------------------------------


def caller_address(request: Request) -> str:
    """Where a request comes from, for counting attempts."""
    return request.client.host if request.client else "unknown"


def old_session(request: Request) -> str | None:
    """The secret of the session that a browser has already."""
    return request.cookies.get(cookie_name(request, request.app.state.address))


def _back(request: Request) -> str:
    return str(request.app.state.address or request.base_url).rstrip("/") + BACK


def _provider(request: Request) -> Provider:
    found = provider(request)
    if found is None:
        raise InstanceNotFoundError(
            "Nobody logs in by OpenID Connect here.", "`[access.oidc]` in propend.toml says how."
        )
    return found


def _gate_session(caller: Caller) -> None:
    if not caller.session:
        raise NotAllowedError(
            "This takes a session: whoever finds a token shall not have more.", "log in, and repeat it."
        )


def enter(request: Request, response: Response, entered: Entered) -> Who:
    """Give the browser its session."""
    longest = request.app.state.accounts.sessions.longest
    set_cookie(request, response, entered.secret, int(longest.total_seconds()))
    return _who(entered.name, entered.role, entered.secret)


def _who(name: str, role: Any, secret: str) -> Who:
    return Who(name=name, role=role, csrf=csrf_of(secret) if secret else None)


def _user(row: UserRow) -> User:
    return User.model_validate(
        {
            "name": row.name, "role": row.role, "disabled": row.disabled, "created_at": row.created_at,
            "comes_by": "password" if row.password else "oidc",
        }
    )  # fmt: skip


def _token(row: TokenRow, owner: str) -> dict[str, Any]:
    return {
        "id": row.id, "owner": owner, "name": row.name, "first": row.first, "created_at": row.created_at,
        "scope": "manage" if "manage" in row.scopes else "view", "expires_at": row.expires_at,
        "used_at": row.used_at, "revoked_at": row.revoked_at,
    }  # fmt: skip


def _page(rows: Sequence[One], cursor: int, limit: int) -> tuple[Sequence[One], str | None]:
    """A page of what is short enough to be read whole; the cursor is where it begins."""
    end = cursor + limit
    return rows[cursor:end], str(end) if end < len(rows) else None
