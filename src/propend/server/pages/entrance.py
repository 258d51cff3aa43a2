"""Coming in and going: the first user, log-in, log-out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response

from propend.errors import PropendError
from propend.server.access import provider, set_cookie
from propend.server.failures import status_of
from propend.server.pages.shell import Anybody, Page, View, invalid
from propend.server.routes.sessions import caller_address, enter, old_session
from propend.workspace.accounts import Entered

router = APIRouter()
Text = Annotated[str, Form(max_length=1000)]
Next = Annotated[str, Query(max_length=2000)]


@router.get("/login")
def log_in_page(page: Anybody, next: Next = "/") -> Response:  # noqa: A002 - the name in the address
    """The form; who is logged in goes on."""
    if page.caller is not None:
        return page.go(_own(next))
    if not page.request.app.state.accounts.users():
        return page.go("/setup")
    return _form(page, _own(next))


@router.post("/login")
def log_in(request: Request, page: Anybody, name: Text = "", password: Text = "", next: Text = "/") -> Response:  # noqa: A002
    """Log in, and go on to what was asked for."""
    people = request.app.state.accounts
    try:
        _gate_empty(name, password)
        entered = people.log_in(name, password, caller_address(request), old_session(request))
    except PropendError as error:
        return _form(page, _own(next), name, error)
    return _enter(page, entered, _own(next))


@router.get("/setup")
def set_up_page(page: Anybody) -> Response:
    """The form for the first user; not where there is one."""
    return page.go("/login") if page.request.app.state.accounts.users() else page.html("setup.html.j2", error=None)


@router.post("/setup")
def set_up(request: Request, page: Anybody, token: Text = "", name: Text = "", password: Text = "") -> Response:
    """Make the first user, and log them in."""
    try:
        _gate_empty(token, name, password)
        entered = request.app.state.accounts.set_up(token.strip(), name, password, caller_address(request))
    except PropendError as error:
        return page.html("setup.html.j2", status_of(error), error=error.to_dict(), name=name)
    return _enter(page, entered, "/")


@router.post("/logout")
def log_out(request: Request, page: View) -> Response:
    """End the session."""
    response = page.go("/login")
    if page.caller is not None and page.caller.session:
        request.app.state.accounts.sessions.end(page.caller.session, page.caller.name)
        set_cookie(request, response, "", 0)
    return response


def _form(page: Page, to: str, name: str = "", error: PropendError | None = None) -> Response:
    elsewhere = provider(page.request) is not None
    told = error.to_dict() if error is not None else None
    status = status_of(error) if error is not None else 200
    return page.html("login.html.j2", status, to=to, name=name, error=told, elsewhere=elsewhere)


def _enter(page: Page, entered: Entered, to: str) -> Response:
    response = page.go(to)
    enter(page.request, response, entered)
    return response


def _gate_empty(*fields: str) -> None:
    if not all(fields):
        raise invalid("Something is not filled in.", "fill in every field.")


def _own(address: str) -> str:
    """An address of this server; what leads elsewhere becomes the first page."""
    own = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if own else "/"
