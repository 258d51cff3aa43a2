"""Destinations: where scores go, what came of every push, and forms to add, try, change and remove them."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from fastapi import APIRouter, Depends, Form, Query, Request, Response

from propend.document import without_passwords
from propend.errors import ConfigurationError, Mistake, NotEnrichedError, PropendError
from propend.exports import can_rehearse, enriches, kind_of, kinds
from propend.server.cursors import cursor_of, place_of
from propend.server.failures import status_of
from propend.server.pages.served import instance_names, name_of
from propend.server.pages.shell import Manage, Page, View, path
from propend.server.shapes import Cursor
from propend.server.state import InstanceId, Number
from propend.store.catalog import DestinationRow
from propend.workspace.segments import Segments

router = APIRouter()
Plain = dict[str, Any]
PER_PAGE = 25
MOST_OPTION = 2000
"""Letters of one option that are looked at."""
KINDS = {
    "file": ("A file", "one file that each run replaces: CSV for spreadsheets, Parquet, JSON lines"),
    "postgres": ("A table of PostgreSQL", "a table of its own, which each run brings up to date"),
    "table": ("A table of profiles", "one row for each profile, with columns of several instances"),
    "xdm-profile": ("XDM profiles", "a file for Adobe Experience Platform, in the form of Individual Profiles"),
    "xdm-event": ("XDM events", "a file of ExperienceEvents for every run, which together are a history"),
    "webhook": ("A program that listens", "signed batches of JSON to an address"),
}
SAYS = {
    "format": ("Format", ""),
    "folder": ("Folder", "In the workspace. Others must be allowed by exports.folders in propend.toml."),
    "name": (
        "Name of the file",
        "Without its ending. {instance}, {audience}, {run_id} and {scored_at} stand for what they say; with one of the "
        "last two there is a file for every run.",
    ),
    "gzip": ("compress CSV and JSON lines", ""),
    "retract_expired": ("take scores back when they have expired and no newer ones came", ""),
    "url": (
        "Address",
        "Such as postgresql://propend@db.example.com/crm, without a password; or env:NAME or keyring:SERVICE/USER, "
        "which have all of it where the server runs.",
    ),
    "password": (
        "Password, by name",
        "env:NAME or keyring:SERVICE/USER, which have it where the server runs. Never the password itself: what is "
        "written here can be seen.",
    ),
    "secret": (
        "Secret that bodies are signed with, by name",
        "env:NAME or keyring:SERVICE/USER, which have it where the server runs. Never the secret itself: what is "
        "written here can be seen.",
    ),
    "table": ("Table", "With its schema, where that is not public: crm.scores."),
    "leavers": ("Rows of profiles that have no score any more", ""),
    "file": ("Parquet file, in place of PostgreSQL", "Such as people.parquet; its folder is below."),
    "prefix": ("Beginning of the columns' names", "Usual is the instance's id."),
    "tenant": ("Tenant", "The organisation's name in XDM, without the underscore before it."),
    "namespace": ("Namespace", "Of the identity that the profiles' ids are."),
    "most_factors": ("Factors for each profile", "At most 20, whichever way they move the score."),
    "size": ("Profiles in a batch", ""),
    "timeout_seconds": ("Seconds to wait for an answer", ""),
}
"""What options are called, and what helps to fill them in; those of kinds of other packages go by their names."""
SECRET = ("password", "secret")
"""Options whose mistaken value is not shown again: it may be the secret itself."""
OF_WEBHOOKS = ("Address", "https://…; http:// is for networks of your own.")
DONE = {
    "added": "The destination is saved. Every run is pushed there from now on, if it is switched on.",
    "changed": "The destination is changed.",
    "asked": "The push is asked for, and done within moments.",
    "removed": "The destination is removed, and what it was given is taken back.",
    "kept": "The destination is removed. What it was given stays there.",
}
"""What is said after a change, by what the address has as ``done``."""
Done = Annotated[str, Query(max_length=20)]
Kind = Annotated[str, Query(max_length=60)]


@dataclass(frozen=True)
class Field:
    """One option as a form asks for it.

    Attributes:
        name, label, help: of the option.
        kind: ``text``, ``number``, ``check`` or ``choice``.
        choices: of a choice.
        usual: what is meant where it is left empty.
        needed: whether it must not be empty.
    """

    name: str
    label: str
    help: str
    kind: str
    choices: tuple[str, ...]
    usual: Any
    needed: bool

    @classmethod
    def all(cls, kind: str) -> list[Field]:
        """Those of a kind of destination, in its order, with what is common to all at the end."""
        fields = kind_of(kind).options.model_fields
        found = []
        for name, info in sorted(fields.items(), key=lambda item: item[0] == "retract_expired"):
            label, says = OF_WEBHOOKS if (kind, name) == ("webhook", "url") else SAYS.get(name, (name, ""))
            form, choices = _form_of(info.annotation)
            usual = None if info.is_required() else info.default
            found.append(cls(name, label, says, form, choices, usual, info.is_required()))
        return found

    def read(self, form: Mapping[str, str]) -> Any:
        """What a form says of it; None where it says nothing."""
        text = form.get(f"option.{self.name}", "").strip()[:MOST_OPTION]
        if self.kind == "check":
            return bool(text)
        if not text:
            return None
        if self.kind == "number":
            try:
                return float(text) if "." in text else int(text)
            except ValueError:
                return text  # which the options refuse in their own words
        return text


def _form_of(annotation: Any) -> tuple[str, tuple[str, ...]]:
    """How a type is asked for."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return _form_of(next(one for one in get_args(annotation) if one is not type(None)))
    if get_origin(annotation) is Literal:
        return "choice", tuple(map(str, get_args(annotation)))
    if annotation is bool:
        return "check", ()
    return ("number" if annotation in (int, float) else "text"), ()


@dataclass
class Asked:
    """A form as it was sent, or as it is to be filled in."""

    name: str
    kind: str
    options: Plain
    segment: int | None = None
    enabled: bool = True

    @classmethod
    def read(cls, kind: str, form: Mapping[str, str]) -> Asked:
        """From what a browser sends."""
        options = {field.name: value for field in Field.all(kind) if (value := field.read(form)) is not None}
        segment = form.get("segment", "")
        chosen = int(segment) if segment.isdecimal() and len(segment) < 10 else None
        return cls(form.get("name", "").strip()[:200], kind, options, chosen, bool(form.get("enabled")))


async def _sent(request: Request) -> dict[str, str]:
    return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}


Sent = Annotated[dict[str, str], Depends(_sent)]


# --- looking ----------------------------------------------------------------------------------------------------


@router.get("/destinations")
def all_destinations(page: View, cursor: Cursor = None) -> Response:
    """Where the scores of all instances go, each with what came of the last push."""
    space, after = page.space, place_of(cursor, int)[0] if cursor is not None else 0
    found = space.destinations.some(after, PER_PAGE + 1)
    rows, more = found[:PER_PAGE], cursor_of(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None
    names = instance_names(page)
    segments = {
        i: name for instance in {row.instance_id for row in rows} for i, name in _segments(page, instance).items()
    }
    return page.html(
        "destinations_all.html.j2", rows=rows, last=space.destinations.last([row.id for row in rows]), more=more,
        labels=_labels(), names=names, segments=segments,
    )  # fmt: skip


@router.get("/instances/{instance_id}/destinations")
def list_destinations(instance_id: InstanceId, page: View, cursor: Cursor = None, done: Done = "") -> Response:
    """Where the scores of an instance go, each with what came of the last push."""
    instance, space = page.space.instances.get(instance_id), page.space
    after = place_of(cursor, int)[0] if cursor is not None else 0
    found = space.destinations.all(instance_id, after, PER_PAGE + 1)
    more = cursor_of(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None
    last = space.destinations.last([row.id for row in found])
    return page.html(
        "destinations.html.j2", instance=instance, tab="destinations", rows=found[:PER_PAGE], last=last, more=more,
        labels=_labels(), segments=_segments(page, instance_id), done=DONE.get(done, ""),
    )  # fmt: skip


@router.get("/destinations/{destination_id}")
def one_destination(destination_id: Number, page: View, cursor: Cursor = None, done: Done = "") -> Response:
    """One destination: what it is told, and every push, the newest first."""
    return _one(page, page.space.destinations.get(destination_id), cursor, DONE.get(done, ""))


def _one(
    page: Page,
    row: DestinationRow,
    cursor: str | None = None,
    done: str = "",
    error: PropendError | None = None,
    tried: Plain | None = None,
) -> Response:
    before = place_of(cursor, int)[0] if cursor is not None else None
    found = page.space.destinations.pushes(row.id, before, PER_PAGE + 1)
    more = cursor_of(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None
    told = without_passwords(row.options)
    options = [(field.label, told.get(field.name, field.usual)) for field in Field.all(row.kind)]
    return page.html(
        "destination.html.j2", status_of(error) if error is not None else 200, row=row,
        instance=page.space.instances.get(row.instance_id), tab="destinations", pushes=found[:PER_PAGE], more=more,
        options=options, labels=_labels(), segments=_segments(page, row.instance_id), done=done,
        waits=any(push.state in ("waiting", "running") for push in found[:1]),
        error=error.to_dict() if error is not None else None, tried=tried, can_be_tried=can_rehearse(row.kind),
    )  # fmt: skip


def _labels() -> dict[str, tuple[str, str]]:
    return {kind: KINDS.get(kind, (kind, "a kind that another package adds")) for kind in kinds()}


def _segments(page: Page, instance_id: str) -> dict[int, str]:
    return {row.id: row.name for row in Segments(page.space.catalog, page.space.instances).every(instance_id)}


# --- changing ---------------------------------------------------------------------------------------------------


@router.get("/instances/{instance_id}/destinations/new")
def new_destination(instance_id: InstanceId, page: Manage, kind: Kind = "") -> Response:
    """Which kind of place; then the form of that kind."""
    instance = page.space.instances.get(instance_id)
    if kind not in kinds():
        held = instance_id in page.scores.held_back
        refused = {name for name in kinds() if held and enriches(name)}
        return page.html(
            "destination_kinds.html.j2", instance=instance, tab="destinations", labels=_labels(), refused=refused
        )  # fmt: skip
    return _form(page, instance_id, Asked("", kind, {}))


@router.post("/instances/{instance_id}/destinations")
def add_destination(instance_id: InstanceId, page: Manage, sent: Sent) -> Response:
    """Save a new one; nothing is pushed yet."""
    asked = Asked.read(sent.get("kind", ""), sent)
    try:
        _gate_name(asked)
        row = page.space.destinations.create(
            instance_id, asked.name, asked.kind, asked.options, segment_id=asked.segment, enabled=asked.enabled,
            by=name_of(page),
        )  # fmt: skip
    except PropendError as error:
        return _form(page, instance_id, asked, error=error)
    return page.go(path("destinations", row.id) + "?done=added")


@router.get("/destinations/{destination_id}/edit")
def edit_destination(destination_id: Number, page: Manage) -> Response:
    """The form with what it is told now."""
    row = page.space.destinations.get(destination_id)
    asked = Asked(row.name, row.kind, dict(without_passwords(row.options)), row.segment_id, row.enabled)
    return _form(page, row.instance_id, asked, row)


@router.post("/destinations/{destination_id}")
def change_destination(destination_id: Number, page: Manage, sent: Sent) -> Response:
    """Another name, other options or profiles, on or off; what stands at a place that it leaves is taken back."""
    row = page.space.destinations.get(destination_id)
    asked = Asked.read(row.kind, sent)
    try:
        _gate_name(asked)
        page.space.pushing.change(
            row.id, name=asked.name, options=asked.options, segment_id=asked.segment, enabled=asked.enabled,
            by=name_of(page),
        )  # fmt: skip
    except PropendError as error:
        return _form(page, row.instance_id, asked, row, error)
    return page.go(path("destinations", row.id) + "?done=changed")


@router.post("/destinations/{destination_id}/push")
def push_now(destination_id: Number, page: Manage) -> Response:
    """Ask for a push of the newest run; the server does it within moments."""
    row = page.space.destinations.get(destination_id)
    try:
        page.space.pushing.ask(row.id, name_of(page))
    except PropendError as error:
        return _one(page, row, error=error)
    return page.go(path("destinations", row.id) + "?done=asked")


@router.post("/instances/{instance_id}/destinations/try")
def try_place(instance_id: InstanceId, page: Manage, sent: Sent) -> Response:
    """Try what a form says before it is saved: a part that says what came of it."""
    asked = Asked.read(sent.get("kind", ""), sent)
    tried, mistaken = _tried(page, instance_id, asked)
    if page.is_part:
        return page.html("destination_tried_part.html.j2", tried=tried)
    return _form(page, instance_id, asked, error=mistaken, tried=tried)


@router.post("/destinations/{destination_id}/try")
def try_destination(destination_id: Number, page: Manage, sent: Sent) -> Response:
    """Try a saved one, or what its form says now: a part that says what came of it."""
    row = page.space.destinations.get(destination_id)
    from_form = "name" in sent
    saved = Asked(row.name, row.kind, row.options, row.segment_id, row.enabled)
    asked = Asked.read(row.kind, sent) if from_form else saved
    tried, mistaken = _tried(page, row.instance_id, asked)
    if page.is_part:
        return page.html("destination_tried_part.html.j2", tried=tried)
    return _form(page, row.instance_id, asked, row, mistaken, tried) if from_form else _one(page, row, tried=tried)


def _tried(page: Page, instance_id: str, asked: Asked) -> tuple[Plain, ConfigurationError | None]:
    """What came of trying a place, and the mistakes of what it was told."""
    try:
        pushing = page.space.pushing
        found = pushing.rehearse(instance_id, asked.kind, asked.options, asked.segment, name_of(page))
    except PropendError as error:
        tried: Plain = {"error": error.to_dict(), "mistakes": []}
        if not isinstance(error, ConfigurationError):
            return tried, None
        labels = {field.name: field.label for field in Field.all(asked.kind)}
        return tried | {"mistakes": [f"{labels.get(m.place, m.place)}: {m.problem}" for m in error.mistakes]}, error
    return {"says": found.says, "shown": found.shown, "error": None}, None


@router.post("/destinations/{destination_id}/remove")
def remove_destination(
    destination_id: Number, page: Manage, keep: Annotated[Literal["yes", ""], Form()] = ""
) -> Response:
    """Remove one, and take back what it was given unless that is to be kept."""
    row = page.space.destinations.get(destination_id)
    try:
        page.space.pushing.remove(row.id, name_of(page), keep == "yes")
    except PropendError as error:
        return _one(page, row, error=error)
    done = "kept" if keep else "removed"
    return page.go(path("instances", row.instance_id, "destinations") + f"?done={done}")


def _gate_name(asked: Asked) -> None:
    if not asked.name:
        raise ConfigurationError([Mistake("name", "is missing and needed")], "the destination")


def _form(
    page: Page,
    instance_id: str,
    asked: Asked,
    row: DestinationRow | None = None,
    error: PropendError | None = None,
    tried: Plain | None = None,
) -> Response:
    """A form with what is wrong beside each field; what belongs to none stands above."""
    fields = Field.all(asked.kind)
    known = {"name", "segment", *(f"option.{field.name}" for field in fields)}
    wrong: dict[str, str] = {}
    rest: list[str] = []
    for mistake in error.mistakes if isinstance(error, ConfigurationError) else ():
        own = mistake.place == "name" and not asked.name and tried is None  # who tries a place need not name it yet
        place = mistake.place if own else f"option.{mistake.place}"
        if place in known:
            wrong[place] = " ".join(filter(None, (wrong.get(place), mistake.problem)))
        else:
            rest.append(f"{mistake.place}: {mistake.problem}")
    asked.options = {**without_passwords(asked.options), **{name: "" for name in SECRET if f"option.{name}" in wrong}}
    told = error.to_dict() if error is not None and not wrong else None
    if told is not None and rest:
        told |= {"message": "; ".join(rest) + ".", "hint": ""}
    return page.html(
        "destination_form.html.j2", status_of(error) if error is not None else 200, row=row, asked=asked,
        instance=page.space.instances.get(instance_id), tab="destinations", fields=fields, wrong=wrong, error=told,
        label=_labels()[asked.kind], segments=_segments(page, instance_id), tried=tried,
        can_be_tried=can_rehearse(asked.kind),
        held=enriches(asked.kind) and instance_id in page.scores.held_back and not isinstance(error, NotEnrichedError),
    )  # fmt: skip
