"""The log of changes for people: who did what to what, and what it was before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from propend.document import write_yaml
from propend.server.pages.shell import Manage, invalid, path
from propend.store.catalog import AuditRow
from propend.workspace.audit import KINDS
from propend.workspace.instances import differing

router = APIRouter()
PAGE = 50
"""Changes on one page."""
MOST_PLACES = 60
"""Places of a change that are shown; what is longer is in the files."""
DID = {
    "create": "made",
    "update": "changed",
    "delete": "removed",
    "enable": "enabled",
    "disable": "disabled",
    "run": "started a run of",
    "push": "asked for a push to",
    "retract": "asked to take back what was given to",
    "expire": "took back what has expired from",
    "try": "tried",
    "cancel": "stopped",
    "log in": "logged in:",
    "log out": "logged out:",
    "fail to log in": "failed to log in:",
    "set password": "set the password of",
    "revoke": "ended",
    "forget": "asked to forget",
    "erase": "removed all of",
}
"""What was done, in the words of a sentence; an action without one stands as it is."""
FILES = "/api/v1/audit"
NO_ZERO = r"^[^\x00]*$"
"""PostgreSQL's texts have no zero bytes."""
Text = Annotated[str, Query(max_length=200, pattern=NO_ZERO)]


@dataclass(frozen=True)
class Place:
    """One place of a document that a change is about, as texts; empty where there was or is nothing."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """An entry of the log, for people.

    Attributes:
        row: the entry.
        did: what was done, in words.
        to: the address of what it was done to; empty where it has no page.
        places: what is different, the first ``MOST_PLACES`` of them.
        more: how many further places are.
    """

    row: AuditRow
    did: str
    to: str
    places: tuple[Place, ...]
    more: int


@router.get("/audit")
def changes(
    page: Manage,
    who: Text = "",
    kind: Text = "",
    subject: Text = "",
    since: Text = "",
    until: Text = "",
    cursor: Annotated[int | None, Query(ge=1, le=2_000_000_000)] = None,
) -> Response:
    """Changes, the newest first, fifty on a page."""
    asked = {"who": who.strip(), "kind": kind, "subject": subject.strip(), "since": since, "until": until}
    began, ended = _start_of(since), _start_of(until)
    filters: dict[str, Any] = {name: asked[name] or None for name in ("who", "kind", "subject")}
    filters |= {"since": began, "until": ended and ended + timedelta(days=1)}
    rows = page.space.audit.entries(**filters, before_id=cursor, limit=PAGE + 1)
    given = {name: value for name, value in asked.items() if value}
    exact = {n: v.isoformat() if isinstance(v, datetime) else v for n, v in filters.items() if v is not None}
    return page.html(
        "changes.html.j2", changes=[_change(row) for row in rows[:PAGE]], asked=asked, kinds=KINDS,
        is_filtered=bool(given), files=[(form, _address(FILES, exact, format=form)) for form in ("csv", "json")],
        later=_address("/audit", given, cursor=rows[PAGE - 1].id) if len(rows) > PAGE else None,
        first=_address("/audit", given) if cursor is not None else None,
    )  # fmt: skip


def _change(row: AuditRow) -> Change:
    found = differing(row.before or {}, row.after or {})
    places = tuple(Place(d.place, _text(d.before), _text(d.after)) for d in found[:MOST_PLACES])
    return Change(row, DID.get(row.action, row.action), _to(row), places, max(0, len(found) - MOST_PLACES))


def _to(row: AuditRow) -> str:
    """Where to see what was changed; what is removed is seen nowhere."""
    if row.action == "delete" or (row.kind, row.action) == ("destination", "try"):  # whose subject is a kind of place
        return ""
    if row.kind == "user" and row.action != "fail to log in":
        return path("people", row.subject)
    return {
        "instance": path("instances", row.subject), "run": path("runs", row.subject),
        "segment": path("segments", row.subject), "destination": path("destinations", row.subject),
    }.get(row.kind, "")  # fmt: skip


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return write_yaml(value).strip()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value)


def _start_of(text: str) -> datetime | None:
    """The start of a day in UTC; None where none is given."""
    if not text:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise invalid(f"{text[:40]!r} is not a day.", "write it as 2026-03-01.") from None
    if not 1900 <= found.year <= 9000:
        raise invalid("The log has no such year.", "take another day.")
    return datetime(found.year, found.month, found.day, tzinfo=UTC)


def _address(start: str, given: dict[str, Any], **more: Any) -> str:
    asked = urlencode(given | more)
    return f"{start}?{asked}" if asked else start
