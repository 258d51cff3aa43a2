"""What every page is made with: its template, who asks, what browsers obey, and how a refusal looks.

A route takes ``View`` (anybody who may read) or ``Manage`` and answers with ``page.html(template, ...)``. A request of
htmx gets a part of a page, any other the whole; templates say which by what they extend.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment
from markupsafe import Markup
from starlette.exceptions import HTTPException

from propend.errors import (
    CatalogUnavailableError,
    NotLoggedInError,
    PropendError,
    RequestInvalidError,
    ServerBusyError,
    UnexpectedError,
)
from propend.language import day_words
from propend.narrative import TONES
from propend.phrasing import Words, words_of
from propend.report import environment, spec_of
from propend.server import failures
from propend.server.access import Caller, manager, viewer
from propend.server.requests import PREFIX
from propend.server.serving import Serving
from propend.server.state import HeavyWork
from propend.version import __version__
from propend.workspace import Workspace
from propend.workspace.audit import LOCAL
from propend.workspace.sessions import csrf_of
from propend.workspace.standing import SCHEDULE_WORDS, standing_of

ROOM = Path(__file__).parent.parent
DRAWING = Path(__file__).parent.parent.parent / "static"
"""Vega and its kind, which the reports embed as well."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; font-src 'self'"
)
"""Styles may stand at elements: pictures place their texts so."""
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
"""With less of a referrer, browsers do not say which page posts a form (``access.Gate`` asks)."""
THEME = "propend-theme"
YEAR_SECONDS = 365 * 24 * 3600
RETRY_SECONDS = 10
"""After so long a part asks again whom a busy server did not tell when."""
NAVIGATION = (
    ("home", "/", "Instances", "view"),
    ("profiles", "/profiles", "Profiles", "view"),
    ("segments", "/segments", "Segments", "view"),
    ("destinations", "/destinations", "Destinations", "view"),
    ("data", "/data", "Data", "view"),
    ("people", "/people", "People", "manage"),
    ("audit", "/audit", "Changes", "manage"),
    ("settings", "/settings", "Settings", "view"),
)
"""Places of the bar at the top: key, address, name, who sees it."""
HAPPENED = {
    "cancelled": "The run was told to stop. The scores before it stay.",
    "disabled": "It is switched off: it does not run any more, and its last scores stay.",
    "discarded": "The changes were thrown away. What is in force is as it was.",
    "enabled": "It is switched on.",
    "renamed": "Name, description and schedule are saved.",
}
"""What pages say after a change, by the word in their address."""

TITLES = {
    401: "Log in first",
    403: "You may not do this",
    404: "There is nothing here",
    409: "Not now",
    412: "Somebody else was quicker",
    422: "This did not work",
    429: "Too many tries",
    500: "A fault of propend",
    502: "Your organisation's log-in does not answer",
    503: "The server cannot answer now",
}
"""What the page of a refusal is headed with, by status."""


class Page:
    """One page on its way: the request, who asks, and what is asked.

    Attributes:
        request: of the browser.
        caller: who asks; None before log-in.
    """

    def __init__(self, request: Request, caller: Caller | None) -> None:
        """Made by ``View``, ``Manage`` and ``Anybody``."""
        self.request, self.caller = request, caller

    @property
    def space(self) -> Workspace:
        """The open workspace."""
        found: Workspace = self.request.app.state.workspace
        return found

    @property
    def scores(self) -> Serving:
        """The scores that are served."""
        found: Serving = self.request.app.state.serving
        return found

    @property
    def heavy(self) -> HeavyWork:
        """A turn at work that reads all events."""
        found: HeavyWork = self.request.app.state.heavy
        return found

    @property
    def manages(self) -> bool:
        """Whether who asks may change things; templates leave out what they may not do."""
        return self.caller is not None and self.caller.role == "manage"

    @property
    def who(self) -> str:
        """The name under which a change is written down."""
        return self.caller.name if self.caller is not None else LOCAL

    @property
    def is_part(self) -> bool:
        """Whether a part of the page is asked for, by htmx."""
        return self.request.headers.get("hx-request") == "true" and "hx-boosted" not in self.request.headers

    @property
    def csrf(self) -> str:
        """What forms and scripts send beside a change; empty without log-in."""
        return csrf_of(self.caller.session) if self.caller is not None and self.caller.session else ""

    @property
    def theme(self) -> str:
        """``light`` or ``dark`` where somebody has chosen; else as the system has it."""
        chosen = self.request.cookies.get(THEME, "")
        return chosen if chosen in ("light", "dark") else ""

    @property
    def navigation(self) -> list[tuple[str, str, str]]:
        """Key, address and name of each place that who asks may go to."""
        if self.caller is None:
            return []
        return [(key, to, name) for key, to, name, role in NAVIGATION if role == "view" or self.manages]

    @property
    def has_people(self) -> bool:
        """Whether anybody logs in here at all: not where access is switched off."""
        return self.caller is None or bool(self.caller.session)

    def html(self, template: str, status: int = 200, **given: Any) -> HTMLResponse:
        """The answer: a template with what it needs; it also has ``page``."""
        text = _environment().get_template(template).render(page=self, **given)
        return HTMLResponse(text, status, HEADERS)

    def waiting(self, busy: ServerBusyError) -> HTMLResponse:
        """A part that says that others are being served, and asks by itself for what was asked once it may again."""
        asked = self.request.url
        again = asked.path + (f"?{asked.query}" if asked.query else "")
        seconds = int(busy.facts.get("retry_seconds", RETRY_SECONDS))
        verb = self.request.method.lower()
        answer = self.html("waiting_part.html.j2", 503, again=again, verb=verb, seconds=seconds)
        answer.headers["Retry-After"] = str(seconds)
        return answer

    def go(self, address: str) -> Response:
        """Send the browser elsewhere, after a change."""
        if self.is_part:
            # as ``RedirectResponse`` writes it: browsers leave out tabs, and a line break would end the header
            return Response(status_code=204, headers={"HX-Redirect": quote(address, safe=":/%#?=@[]!$&'()*+,;")})
        return RedirectResponse(address, 303)


async def _view(request: Request) -> Page:
    return Page(request, viewer(request))


async def _manage(request: Request) -> Page:
    return Page(request, manager(request))


async def _anybody(request: Request) -> Page:
    return Page(request, getattr(request.state, "caller", None))


View = Annotated[Page, Depends(_view)]
Manage = Annotated[Page, Depends(_manage)]
Anybody = Annotated[Page, Depends(_anybody)]


# --- refusals -----------------------------------------------------------------------------------------------


def install(app: FastAPI) -> None:
    """Serve what pages load, and have refusals of pages be pages."""
    app.mount("/static/charts", _Kept(directory=DRAWING), name="charts")
    app.mount("/static", _Kept(directory=ROOM / "static"), name="static")
    for kind in (PropendError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _refused)


class _Kept(StaticFiles):
    """Files that browsers keep where the address has their version (``asset``), and ask for again where it has none.

    Modules import each other without a version, so that each is loaded once, by one address.
    """

    def file_response(self, full_path: Any, stat_result: Any, scope: Any, status_code: int = 200) -> Response:
        """With how long it is kept."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        kept = f"public, max-age={YEAR_SECONDS}, immutable" if b"v=" in scope.get("query_string", b"") else "no-cache"
        answer.headers["Cache-Control"] = kept
        return answer


async def _refused(request: Request, error: Exception) -> Response:
    """A refusal as a page where a browser asked for one, and else as ``failures`` has it."""
    plain = await failures.refused(request, error)
    if not _is_for_people(request):
        return plain
    page = Page(request, getattr(request.state, "caller", None))
    if isinstance(error, NotLoggedInError) and page.caller is None:
        try:
            return await run_in_threadpool(_to_log_in, page)
        except CatalogUnavailableError as away:
            return for_people(request, failures.answer(away))
    return for_people(request, plain)


def for_people(request: Request, plain: JSONResponse) -> Response:
    """A refusal as a page, or a part of one, where a browser asked for that; else as it is."""
    if not _is_for_people(request):
        return plain
    page, status = Page(request, getattr(request.state, "caller", None)), plain.status_code
    told = _in_their_words(page, json.loads(bytes(plain.body))["error"])
    template = "refusal_part.html.j2" if page.is_part else "refusal.html.j2"
    found = page.html(template, status, error=told, title=TITLES.get(status, TITLES[422]))
    found.headers.update({name: plain.headers[name] for name in ("Retry-After", "Allow") if name in plain.headers})
    return found


def _in_their_words(page: Page, told: dict[str, Any]) -> dict[str, Any]:
    """What a program is told, for somebody at a browser: no descriptions of routes, and of the database no address."""
    facts = told["facts"]
    if told["symbol"] == CatalogUnavailableError.symbol and not page.manages:
        told |= {"message": "The server's database cannot be reached.", "hint": "load the page again in a moment."}
    elif told["symbol"] == UnexpectedError.symbol and "request_id" in facts:
        again = "try again; if it happens again, tell whoever looks after the server. Its log has this as request "
        told |= {"message": "Something broke on the server.", "hint": f"{again}{facts['request_id']}."}
    elif "other_session" in facts:
        told |= {"message": "This page is from another log-in.", "hint": "load it again, and repeat what you did."}
    elif told["hint"] and "/openapi.json" in told["hint"]:
        told |= {"hint": "go back and try again, or begin at one of the places at the top."}
    return told


def _is_for_people(request: Request) -> bool:
    asks = request.headers.get("hx-request") == "true" or "text/html" in request.headers.get("accept", "")
    here = request.url.path
    return asks and (not here.startswith(f"{PREFIX}/") or here.startswith(f"{PREFIX}/oidc/"))  # browsers go there


def _to_log_in(page: Page) -> Response:
    """To the log-in, and from there back; to the setup where nobody can log in yet."""
    if not page.request.app.state.accounts.users():
        return page.go("/setup")
    here = page.request.url.path if page.request.method == "GET" else "/"
    query = f"?{page.request.url.query}" if page.request.method == "GET" and page.request.url.query else ""
    return page.go("/login?" + urlencode({"next": here + query}))


def invalid(message: str, hint: str) -> RequestInvalidError:
    """A form that cannot be taken as it is."""
    return RequestInvalidError(message, hint)


# --- what templates have ------------------------------------------------------------------------------------


@cache
def _environment() -> Environment:
    found = environment(ROOM / "templates")
    found.globals |= {"asset": asset, "version": __version__, "embedded": embedded, "path": path, "words_of": words_of}
    found.globals |= {"standing_of": standing_of, "schedules": SCHEDULE_WORDS, "happened_of": happened_of}
    found.globals |= {"tones_of": TONES.__getitem__}
    found.filters |= {"ago": ago, "day": day, "duration": duration, "instant": instant, "long_day": day_words}
    return found


def compile_templates() -> Iterator[Callable[[], object]]:
    """Each of the pages' templates, to be compiled before somebody asks for it."""
    found = _environment()
    for name in found.list_templates():
        yield partial(found.get_template, name)


@cache
def asset(name: str) -> str:
    """The address of a file under ``static/``, which changes with what is in it."""
    folder, file = (DRAWING, name.removeprefix("charts/")) if name.startswith("charts/") else (ROOM / "static", name)
    return f"/static/{name}?v={hashlib.sha256((folder / file).read_bytes()).hexdigest()[:10]}"


def path(*parts: Any) -> str:
    """An address of parts, whatever letters they have."""
    return "/" + "/".join(quote(str(part), safe="") for part in parts)


def embedded(picture: dict[str, Any], words: Words) -> Markup:
    """A picture's description as JSON that can stand inside a script element."""
    return Markup(json.dumps(spec_of(picture, words), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"))


def happened_of(page: Page) -> str:
    """What has just happened, where the address says so; empty else."""
    return HAPPENED.get(page.request.query_params.get("happened", ""), "")


def instant(at: datetime | str | None, form: str = "%-d %B %Y, %H:%M UTC") -> str:
    """A time in words, in UTC."""
    if at is None:
        return "–"
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC).strftime(form)


def day(at: datetime | str | None) -> str:
    """A day in words, in UTC."""
    return instant(at, "%-d %B %Y")


def duration(seconds: float) -> str:
    """How long something took: ``0.4 s``, ``12 s``, ``2 min 5 s``, ``1 h 4 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def ago(at: datetime | None, until: datetime | None = None) -> str:
    """How long ago: ``3 hours ago``; of what is to come, ``in 3 hours``."""
    if at is None:
        return "never"
    seconds = ((until or datetime.now(UTC)) - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds()
    size = abs(seconds)
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if size >= length:
            n = int(size // length)
            words = f"{n} {unit}{'s' if n > 1 else ''}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now" if seconds >= 0 else "in a moment"
