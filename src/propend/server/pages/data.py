"""The data: files of the workspace, what instances read, what each column holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from propend.connectors.files import find_files
from propend.errors import PropendError, SourceNotFoundError
from propend.events import EventFacts
from propend.instance import Data, Source
from propend.phrasing import words_of
from propend.record import REASONS, events_per_month, tracking_gaps
from propend.server.pages.definition import picture
from propend.server.pages.shell import Manage, Page, View
from propend.server.requests import UPLOAD
from propend.timeline import day_date
from propend.workspace.drafting import data_of
from propend.workspace.looks import Looks
from propend.workspace.uploads import BUFFER_BYTES, Arrival, StoredFile

router = APIRouter()
MOST_FILES = 100
"""Of one pattern."""


@dataclass(frozen=True)
class Reading:
    """How a file is read: as the first instance does that reads it, else with guessed columns.

    Attributes:
        section: the file as data of its own, relative to the workspace's folder.
        users: ids and names of the instances that read it.
    """

    section: Data
    users: list[tuple[str, str]] = field(default_factory=list)


@router.get("/data")
def data(page: View) -> Response:
    """Files of the workspace, and what else instances read."""
    files = page.space.data.files()
    users = {place: reading.users for place, reading in _readings(page).items()}
    known = {file.path for file in files}
    elsewhere = {place: who for place, who in users.items() if place not in known}
    return page.html(
        "data.html.j2", files=files, users=users, elsewhere=elsewhere, most_bytes=page.space.data.most_bytes,
    )  # fmt: skip


@router.get("/data/preview")
def preview(page: View, path: Annotated[str, Query(max_length=1000)] = "") -> Response:
    """One file, or what an instance reads from one place: columns, completeness, first rows."""
    reading, home = _reading(page, path), page.space.home
    looks: Looks = page.request.app.state.looks
    look = looks.known(reading.section, home)
    if look is None:
        with page.heavy.turn():
            look = looks.of(reading.section, home)
    stored = next((f for f in page.space.data.files() if f.path == path), None)
    return page.html("data_preview.html.j2", place=path, look=look, stored=stored, users=reading.users)


@router.get("/data/events")
def events(page: View, path: Annotated[str, Query(max_length=1000)] = "") -> Response:
    """A part of the preview: events by month and kind, gaps in tracking, rows that are set aside."""
    section = _reading(page, path).section
    with page.heavy.turn():
        facts: EventFacts = page.request.app.state.looks.facts(section, page.space.home)
    return page.html(
        "data_events_part.html.j2",
        facts=facts,
        words=words_of(),
        months=picture("events_per_month", events_per_month(facts)),
        gaps=[(g["from"], date.fromisoformat(g["to"]) - timedelta(days=1), g["days"]) for g in tracking_gaps(facts)],
        set_aside=[(n, REASONS[name]) for name, n in facts.set_aside.items() if n and name in REASONS],
        first_day=day_date(int(facts.days[0])),
        last_day=day_date(int(facts.days[-1])),
    )


def _reading(page: Page, path: str) -> Reading:
    """How a file is read, of those that are among the data of this workspace: a view is no way to read any other.

    Raises:
        SourceNotFoundError: it is not.
    """
    found = _readings(page).get(path)
    if found is None and path not in {file.path for file in page.space.data.files()}:
        raise SourceNotFoundError(
            "There is no such file among the data of this workspace.", "the page of the data lists those there are."
        )
    return found or Reading(Data(events=(Source(path=path),)))


def _readings(page: Page) -> dict[str, Reading]:
    """What instances read; patterns and folders count for each file they stand for."""
    found: dict[str, Reading] = {}
    for row in page.space.instances.all():
        document = row.draft or (page.space.instances.version(row.id).document if row.version else {})
        section = data_of(document)
        folder = page.space.instances.folder / section.folder
        for source in section.events:
            own = {"columns": source.columns or section.columns, "kind": source.kind or section.kind}
            for place in _places(page.space.home, folder, source):
                one = Source(path=place, **own)
                before = found.setdefault(place, Reading(Data(events=(one,), labels=section.labels)))
                if (row.id, row.name) not in before.users:
                    before.users.append((row.id, row.name))
    return found


def _places(home: Path, folder: Path, source: Source) -> list[str]:
    found = []
    for text in (source.path,) if isinstance(source.path, str) else source.path or ():
        try:
            files = find_files(text, folder)
        except (PropendError, OSError, ValueError):
            continue  # what is not there any more is said where the instance is edited
        found += [_place(home, file) for file in files[:MOST_FILES]]
    return found


def _place(home: Path, file: Path) -> str:
    return file.relative_to(home).as_posix() if file.is_relative_to(home) else str(file)


@router.post(UPLOAD[1])
async def upload(request: Request, page: Manage, name: Annotated[str, Query(max_length=500)] = "") -> Response:
    """A file as it comes: the body is its content, written to disk in parts, seen by nobody before it is whole."""
    arrival: Arrival = await run_in_threadpool(page.space.data.begin, name)
    try:
        kept = await _receive(request, arrival, page.name)
    except BaseException:
        arrival.drop()  # whatever broke it off, nothing of it stays
        raise
    told: dict[str, Any] = {"path": kept.path, "bytes": kept.size}
    return JSONResponse(told, 201)


async def _receive(request: Request, arrival: Arrival, by: str) -> StoredFile:
    waiting = bytearray()
    async for part in request.stream():
        waiting += part
        if len(waiting) >= BUFFER_BYTES:
            await run_in_threadpool(arrival.write, bytes(waiting))
            waiting.clear()
    if waiting:
        await run_in_threadpool(arrival.write, bytes(waiting))
    return await run_in_threadpool(arrival.keep, by)
