"""The data: files of the workspace, what instances read, what each column holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from propend.connectors.files import absolute, find_files, lake_at
from propend.errors import PropendError, ServerBusyError, SourceNotFoundError
from propend.instance import Data, Source
from propend.phrasing import words_of
from propend.record import REASONS, events_by_kind, events_per_month, tracking_gaps
from propend.server.pages.definition import picture
from propend.server.pages.shell import Manage, Page, View
from propend.server.requests import UPLOAD
from propend.timeline import day_date
from propend.workspace.drafting import data_of
from propend.workspace.looks import Looks
from propend.workspace.persons import OTHER_KINDS
from propend.workspace.uploads import BUFFER_BYTES, Arrival, StoredFile

router = APIRouter()
MOST_FILES = 100
"""Of one pattern."""
MOST_ROWS = 200
"""Files elsewhere that are listed."""
MOST_NAMED = 5
"""Instances that are named beside a file."""


@dataclass(frozen=True)
class Reading:
    """How a file is read: as the first instance does that reads it, else with guessed columns.

    Attributes:
        section: the file as data of its own, relative to the workspace's folder.
        users: names of the instances that read it, by id.
    """

    section: Data
    users: dict[str, str] = field(default_factory=dict)


@router.get("/data")
def data(page: View, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Files of the workspace, and what else instances read, or those of them that are searched for; opens none."""
    files = page.space.data.files()
    users = {place: reading.users for place, reading in _readings(page).items()}
    known, q = {file.path for file in files}, q.strip()
    elsewhere = {place: who for place, who in users.items() if place not in known}
    return page.html(
        "data.html.j2", files=[file for file in files if _is_meant(q, file.path, users.get(file.path, {}))],
        users=users, elsewhere={place: who for place, who in elsewhere.items() if _is_meant(q, place, who)},
        most_rows=MOST_ROWS, most_named=MOST_NAMED, most_bytes=page.space.data.most_bytes,
        q=q, every=len(files) + len(elsewhere),
    )  # fmt: skip


def _is_meant(q: str, place: str, users: dict[str, str]) -> bool:
    """Whether every word that is searched for is in the file's path, or in the name of an instance that reads it."""
    texts = [text.casefold() for text in (place, *users.values())]
    return all(any(word in text for text in texts) for word in q.casefold().split())


@router.get("/data/preview")
def preview(page: View, path: Annotated[str, Query(max_length=1000)] = "") -> Response:
    """One file, or what an instance reads from one place; what is in it comes with a part, where it must be read."""
    reading = _reading(page, path)
    look = _looks(page).known(reading.section, page.space.home)
    stored = next((f for f in page.space.data.files() if f.path == path), None)
    return page.html(
        "data_preview.html.j2", place=path, look=look, stored=stored, users=reading.users, most_named=MOST_NAMED
    )


@router.get("/data/columns")
def columns(page: View, path: Annotated[str, Query(max_length=1000)] = "") -> Response:
    """A part of the preview: columns, completeness, first rows; kept until the file changes."""
    section = _reading(page, path).section
    try:
        with page.heavy.turn():
            look = _looks(page).of(section, page.space.home)
    except ServerBusyError as busy:
        return page.waiting(busy)
    return page.html("data_columns_part.html.j2", place=path, look=look)


@router.get("/data/events")
def events(page: View, path: Annotated[str, Query(max_length=1000)] = "") -> Response:
    """A part of the preview: events by month and kind, gaps in tracking, rows that are set aside."""
    section = _reading(page, path).section
    try:
        with page.heavy.turn():
            counted = _looks(page).counted(section, page.space.home)
    except ServerBusyError as busy:
        return page.waiting(busy)
    facts = counted.facts
    return page.html(
        "data_events_part.html.j2",
        facts=facts,
        words=words_of(),
        months=picture("events_per_month", events_per_month(facts)),
        by_kind=picture("events_by_kind", events_by_kind(counted.months, OTHER_KINDS)),
        gaps=[(g["from"], date.fromisoformat(g["to"]) - timedelta(days=1), g["days"]) for g in tracking_gaps(facts)],
        set_aside=[(n, REASONS[name]) for name, n in facts.set_aside.items() if n and name in REASONS],
        first_day=day_date(int(facts.days[0])),
        last_day=day_date(int(facts.days[-1])),
    )


def _looks(page: Page) -> Looks:
    found: Looks = page.request.app.state.looks
    return found


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
    """What instances read; patterns and folders count for each file they stand for, of which nothing is opened.

    Many instances read the same: each data section is looked up once, whoever has it.
    """
    found: dict[str, Reading] = {}
    placed: dict[tuple[Path, str], list[str]] = {}
    for section, users in _sections(page):
        folder = page.space.instances.folder / section.folder
        for source in section.events:
            own = {
                "columns": source.columns or section.columns,
                "kind": source.kind or section.kind,
                "version": source.version,
            }
            for place in _places(page.space.home, folder, source, placed):
                if place not in found:
                    found[place] = Reading(Data(events=(Source(path=place, **own),), labels=section.labels))
                found[place].users.update(users)
        links = section.identities.links if section.identities is not None else ()
        paths = (*(table.path for table in section.attributes), *(table.path for table in links))
        for path in filter(None, paths):  # looked at as any file is, for they have no events
            for place in _places(page.space.home, folder, Source(path=path), placed):
                found.setdefault(place, Reading(Data(events=(Source(path=place),)))).users.update(users)
    return found


def _sections(page: Page) -> list[tuple[Data, dict[str, str]]]:
    """Each data section there is, with ids and names of the instances that have it."""
    rows = page.space.instances.all()
    newest = page.space.instances.newest_versions([row.id for row in rows if row.draft is None])
    found: dict[str, tuple[Data, dict[str, str]]] = {}
    for row in rows:
        document = row.draft or (newest[row.id].document if row.id in newest else {})
        text = json.dumps(document.get("data"), sort_keys=True, default=str)
        if text not in found:
            found[text] = data_of(document), {}
        found[text][1][row.id] = row.name
    return list(found.values())


def _places(home: Path, folder: Path, source: Source, placed: dict[tuple[Path, str], list[str]]) -> list[str]:
    """The files of a source; ``placed`` has those of paths that were looked up before."""
    found = []
    for text in (source.path,) if isinstance(source.path, str) else source.path or ():
        if (folder, text) not in placed:
            try:
                placed[folder, text] = [_place(home, file) for file in _readable(text, folder)[:MOST_FILES]]
            except (PropendError, OSError, ValueError):
                placed[folder, text] = []  # what is not there any more is said where the instance is edited
        found += placed[folder, text]
    return found


def _readable(text: str, folder: Path) -> list[Path]:
    """What a path stands for: files, or the one folder that is a lake's table."""
    place = absolute(text, folder)
    return [place] if lake_at(place) else find_files(text, folder)


def _place(home: Path, file: Path) -> str:
    return file.relative_to(home).as_posix() if file.is_relative_to(home) else str(file)


@router.post(UPLOAD[1])
async def upload(request: Request, page: Manage, name: Annotated[str, Query(max_length=500)] = "") -> Response:
    """A file as it comes: the body is its content, written to disk in parts, seen by nobody before it is whole."""
    arrival: Arrival = await run_in_threadpool(page.space.data.begin, name)
    try:
        kept = await _receive(request, arrival, page.who)
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
