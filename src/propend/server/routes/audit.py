"""The log of changes, by pages or whole (spec OPS-03)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, AwareDatetime

from propend.server.access import Manager
from propend.server.shapes_access import Entries, Entry, refusals
from propend.store.catalog import AuditRow
from propend.workspace import Workspace
from propend.workspace.audit import Audit

router = APIRouter(tags=["access"])
PAGE = 1000
NO_ZERO = r"^[^\x00]*$"
"""PostgreSQL's texts have no zero bytes."""


def _sound(at: datetime) -> datetime:
    if not 1900 <= at.year <= 9000:  # further out, no database and no zone has it
        raise ValueError("a year from 1900 to 9000")
    return at


Instant = Annotated[AwareDatetime, AfterValidator(_sound)]
COLUMNS = ("id", "at", "who", "action", "kind", "subject", "before", "after")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
EXAMPLE_CSV = "id,at,who,action,kind,subject,before,after\r\n"


@router.get(
    "/audit",
    response_model=Entries,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": EXAMPLE_CSV}}},
        **refusals(401, 403, 422),
    },
)
def read_audit(
    request: Request,
    _: Manager,
    who: Annotated[
        str | None, Query(max_length=200, pattern=NO_ZERO, description="Of this user only.", examples=["ana"])
    ] = None,
    subject: Annotated[
        str | None, Query(max_length=200, pattern=NO_ZERO, description="Of this only.", examples=["buyers"])
    ] = None,
    kind: Annotated[
        str | None, Query(max_length=20, pattern=NO_ZERO, description="Of this kind of thing only.", examples=["user"])
    ] = None,
    since: Annotated[
        Instant | None, Query(description="From this instant on.", examples=["2026-03-01T00:00:00Z"])
    ] = None,
    until: Annotated[
        Instant | None, Query(description="Before this instant.", examples=["2026-04-01T00:00:00Z"])
    ] = None,
    cursor: Annotated[int | None, Query(ge=1, le=2_000_000_000, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE, description="So many at most.", examples=[100])] = 100,
    as_file: Annotated[
        Literal["csv", "json"] | None, Query(alias="format", description="All of it, as a file.", examples=["csv"])
    ] = None,
) -> Response | Entries:
    """Who did what to what, newest first: a page, or with `format` everything as a file."""
    workspace: Workspace = request.app.state.workspace
    asked: dict[str, Any] = {"who": who, "subject": subject, "kind": kind, "since": since, "until": until}
    if as_file is not None:
        entries = _all(workspace.audit, asked)
        lines = _as_csv(entries) if as_file == "csv" else _as_json(entries)
        name = {"Content-Disposition": f'attachment; filename="audit.{as_file}"', "Cache-Control": "no-store"}
        return StreamingResponse(lines, media_type=TYPES[as_file], headers=name)
    rows = workspace.audit.entries(**asked, before_id=cursor, limit=limit + 1)
    items = [Entry.model_validate(_plain(row)) for row in rows[:limit]]
    return Entries(items=items, next=str(items[-1].id) if len(rows) > limit else None)


def _all(audit: Audit, asked: dict[str, Any]) -> Iterator[AuditRow]:
    """Page by page, so that a log of any length takes little memory."""
    before: int | None = None
    while rows := audit.entries(**asked, before_id=before, limit=PAGE):
        yield from rows
        before = rows[-1].id


def _plain(row: AuditRow) -> dict[str, Any]:
    return {column: getattr(row, column) for column in COLUMNS} | {"at": row.at.isoformat()}


def _as_csv(entries: Iterator[AuditRow]) -> Iterator[str]:
    yield _line(COLUMNS)
    for row in entries:
        plain = _plain(row)
        documents = {name: plain[name] and json.dumps(plain[name], ensure_ascii=False) for name in ("before", "after")}
        yield _line([_harmless(value) for value in (plain | documents).values()])


def _line(values: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


def _harmless(value: Any) -> Any:
    """Names are other people's texts, and spreadsheets compute what begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _as_json(entries: Iterator[AuditRow]) -> Iterator[str]:
    """One object, as of a page that has everything."""
    start = '{"items": ['
    for row in entries:
        yield start + json.dumps(_plain(row), ensure_ascii=False)
        start = ",\n"
    yield "]" if start == ",\n" else start + "]"
    yield ', "next": null}'
