"""Who may come in, for those who manage; and one's own account: password and tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Path, Query, Response

from propend.errors import NotAllowedError, NotLoggedInError, PropendError
from propend.server.access import provider
from propend.server.failures import status_of
from propend.server.pages.shell import Manage, Page, View, invalid, path
from propend.server.routes.sessions import caller_address, enter
from propend.store.catalog import now
from propend.workspace.accounts import Accounts, Entered
from propend.workspace.sessions import MOST_TOKEN_DAYS, Role

router = APIRouter()
PAGE = 50
"""Users, and tokens, on one page."""
Name = Annotated[str, Path(min_length=1, max_length=200)]
Text = Annotated[str, Form(max_length=1024)]
Allowed = Annotated[Role, Form()]
Comes = Annotated[Literal["password", "oidc"], Form()]
Start = Annotated[int, Query(ge=0, le=1_000_000)]
Done = Annotated[str, Query(max_length=20)]
DONE = {
    "added": "They can come in from now on.",
    "role": "The role is changed, from their next click on.",
    "disabled": "They are disabled: their sessions have ended, and their tokens do nothing.",
    "enabled": "They are enabled again.",
    "password": "The password is changed; all other sessions have ended.",
    "revoked": "The token has ended.",
}
"""What is said after a change, by what the address has as ``done``."""


# --- everybody ----------------------------------------------------------------------------------------------


@router.get("/people")
def people(page: Manage, q: Annotated[str, Query(max_length=200)] = "", start: Start = 0, done: Done = "") -> Response:
    """Users by name, fifty on a page, and a form for one more."""
    return _people(page, q=q, start=start, done=done)


@router.post("/people")
def add_person(
    page: Manage, name: Text = "", role: Allowed = "view", password: Text = "", comes: Comes = "password"
) -> Response:  # fmt: skip
    """Let somebody in from now on; without a password by OpenID Connect."""
    try:
        if not name or (comes == "password" and not password):
            raise invalid("Something is not filled in.", "a user needs a name and a password.")
        user = _accounts(page).add(name, role, password if comes == "password" else None, _by(page))
    except PropendError as error:
        return _people(page, error, name=name, role=role)
    return page.go(path("people", user.name) + "?done=added")


@router.get("/people/{name}")
def person(page: Manage, name: Name, done: Done = "") -> Response:
    """One user: their role, whether they are let in, a new password."""
    return _person(page, name, done=done)


@router.post("/people/{name}/role")
def change_role(page: Manage, name: Name, role: Annotated[Role | Literal[""], Form()] = "") -> Response:
    """Another role, from the next request on."""
    user = _accounts(page).user(name)
    try:
        if not role:
            raise invalid("No role is chosen.", "choose one.")
        _accounts(page).change(user.name, _by(page), role=role)
    except PropendError as error:
        return _person(page, user.name, error)
    if user.name == _by(page) and role != "manage":
        return page.go("/")
    return page.go(path("people", user.name) + "?done=role")


@router.post("/people/{name}/access")
def change_access(page: Manage, name: Name, let_in: Annotated[Literal["yes", "no", ""], Form()] = "") -> Response:
    """Let somebody in no more, which ends their sessions and tokens at once; or again."""
    user = _accounts(page).user(name)
    try:
        if not let_in:
            raise invalid("Nothing is chosen.", "choose whether they are let in.")
        _accounts(page).change(user.name, _by(page), disabled=let_in == "no")
    except PropendError as error:
        return _person(page, user.name, error)
    return page.go(path("people", user.name) + f"?done={'enabled' if let_in == 'yes' else 'disabled'}")


@router.post("/people/{name}/password")
def set_password(page: Manage, name: Name, password: Text = "") -> Response:
    """A new password for somebody else; their sessions end."""
    user = _accounts(page).user(name)
    try:
        if page.caller is not None and page.caller.session and user.name == page.caller.name:
            raise NotAllowedError("Your own password is changed with the present one.", "go to your account.")
        _accounts(page).set_password(user.name, password, _by(page))
    except PropendError as error:
        return _person(page, user.name, error)
    return page.go(path("people", user.name) + "?done=password")


def _people(page: Page, error: PropendError | None = None, **given: Any) -> Response:
    asked = str(given.get("q", "")).strip()
    users = [user for user in _accounts(page).users() if asked.casefold() in user.name]
    start = int(given.get("start", 0))
    return page.html(
        "people.html.j2", status_of(error) if error else 200, error=error and error.to_dict(),
        users=users[start : start + PAGE], start=start, size=PAGE, count=len(users), q=asked,
        done=DONE.get(str(given.get("done", ""))), given=given, elsewhere=provider(page.request) is not None,
    )  # fmt: skip


def _person(page: Page, name: str, error: PropendError | None = None, done: str = "") -> Response:
    user = _accounts(page).user(name)
    tokens = [row for row, _ in _accounts(page).tokens.rows(user.name) if row.revoked_at is None]
    return page.html(
        "person.html.j2", status_of(error) if error else 200, user=user, error=error and error.to_dict(),
        done=DONE.get(done), tokens=[row for row in tokens if row.expires_at is None or row.expires_at > now()],
    )  # fmt: skip


# --- one's own account --------------------------------------------------------------------------------------


@router.get("/account")
def account(page: View, start: Start = 0, done: Done = "") -> Response:
    """One's own password and tokens."""
    return _account(page, start=start, done=done)


@router.post("/account/password")
def change_password(page: View, present: Text = "", password: Text = "", again: Text = "") -> Response:
    """A new password, with the present one; all other sessions of one's own end."""
    name, people = _gate_session(page), _accounts(page)
    try:
        if password != again:
            raise invalid("The new password was not typed twice the same.", "type it again.")
        _gate_present(page, name, present)
        user = people.set_password(name, password, name)
    except PropendError as error:
        return _account(page, error)
    response = page.go("/account?done=password")
    enter(page.request, response, Entered(user.name, user.role, people.sessions.start(user.id)))
    return response


@router.post("/account/tokens")
def create_token(page: View, name: Text = "", scope: Allowed = "view", days: Text = "90") -> Response:
    """A token for a program; its secret is on this page only."""
    owner = _gate_session(page)
    try:
        secret, row = _accounts(page).tokens.create(owner, name, scope, _days(days), owner)
    except PropendError as error:
        return _account(page, error, name=name)
    found = page.html("token.html.j2", secret=secret, token=row)
    found.headers["Cache-Control"] = "no-store"
    return found


@router.post("/account/tokens/{token_id}/revoke")
def revoke_token(page: View, token_id: Annotated[int, Path(ge=1, le=2_000_000_000)], of: Text = "") -> Response:
    """End a token for good: one's own, or anybody's for those who manage; ``of`` is on whose page they are."""
    _gate_session(page)
    _accounts(page).tokens.revoke(token_id, _by(page), None if page.manages else _by(page))
    return page.go((path("people", of) if of and page.manages else "/account") + "?done=revoked")


def _account(page: Page, error: PropendError | None = None, **given: Any) -> Response:
    if not page.has_people:
        return page.html("account.html.j2", user=None)
    people, start = _accounts(page), int(given.get("start", 0))
    tokens = people.tokens.rows(_by(page))
    return page.html(
        "account.html.j2", status_of(error) if error else 200, user=people.user(_by(page)),
        error=error and error.to_dict(), done=DONE.get(str(given.get("done", ""))), given=given, now=now(),
        tokens=[row for row, _ in tokens[start : start + PAGE]], start=start, size=PAGE, count=len(tokens),
        most_days=MOST_TOKEN_DAYS,
    )  # fmt: skip


def _gate_session(page: Page) -> str:
    """The name of whoever is logged in with a session: a token shall not make more of itself."""
    if page.caller is None or not page.caller.session:
        raise invalid("This takes a log-in, and nobody is logged in here.", "start the server with log-in.")
    return page.caller.name


def _gate_present(page: Page, name: str, present: str) -> None:
    try:
        _accounts(page).check_password(name, present, caller_address(page.request))
    except NotLoggedInError:
        raise invalid("The present password is not right.", "type it again; mind capital letters.") from None


def _days(text: str) -> int | None:
    if text == "never":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise invalid("The days of a token are a whole number.", "choose how long it lasts.")
    return int(text)


def _accounts(page: Page) -> Accounts:
    found: Accounts = page.request.app.state.accounts
    return found


def _by(page: Page) -> str:
    """Who asks, for the log of changes."""
    return page.caller.name if page.caller is not None else ""
