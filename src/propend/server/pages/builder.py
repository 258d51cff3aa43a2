"""The builder: a goal put together by cards, by its sentence or as YAML, and what it means on the data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends, Form, Query, Request, Response

from propend import cards, pipeline
from propend.document import write_yaml
from propend.errors import ConfigurationError, PropendError, SentenceError, ServerBusyError
from propend.goal import AGGREGATES
from propend.instance import Options
from propend.remedies import AS_OF, LOOK_BACK, remedies, with_look_back
from propend.server.pages.begin import ROLES
from propend.server.pages.definition import pictures_of
from propend.server.pages.shell import Manage, Page, invalid, path
from propend.server.state import InstanceId
from propend.store.catalog import InstanceRow
from propend.store.runs import plain
from propend.workspace.drafting import (
    Draft,
    data_of,
    document_of_yaml,
    draft_of,
    folder_of,
    mistakes_in_yaml,
    with_sentence,
    with_values,
)
from propend.workspace.looks import Looks
from propend.workspace.proposals import Proposals

router = APIRouter()
Step = Literal["setup", "data", "goal", "options"]
Plain = dict[str, Any]
STEPS = (
    ("setup", "Set up", "what it is called"),
    ("data", "Data", "what is read"),
    ("goal", "Goal", "what is asked, of whom"),
    ("options", "Options", "when, and how shown"),
)
COUNT_WORDS = {
    "at_least": "at least … times", "at_most": "at most … times", "exactly": "exactly … times",
    "first": "for the first time", "sum": "in total", "avg": "on average", "max": "at the highest",
    "min": "at the lowest", "count_distinct": "number of different",
}  # fmt: skip
BOUND_WORDS = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most", "eq": "exactly"}
OPTION_PLACES = (
    "schedule", "time_zone", "settle", "lookback", "minimum", "quality_bar", "factors", "language",
)  # fmt: skip
DAYS = ("settle", "lookback")
SOURCE_ROLES = (*ROLES, ("id", "Id of the event", "of several rows with the same one only one counts; not needed"))
LABEL_WORDS = {
    "sensitive": "sensitive: nobody should be judged by it",
    "identifier": "identifier: it says who somebody is",
    "no-data-science": "no data science: it was collected for something else",
}
LONGEST = 300_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def _form(request: Request) -> list[tuple[str, str]]:
    """The fields of a form, in their order."""
    async with request.form(max_fields=5_000) as form:
        return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]


Fields = Annotated[list[tuple[str, str]], Depends(_form)]


# --- the draft ---------------------------------------------------------------------------------------------------


def draft(page: Page, instance_id: str) -> Draft:
    """What is being worked on; its data are looked at where they are not known."""
    row = page.space.instances.get(instance_id)
    document = row.draft
    if document is None:
        document = page.space.instances.version(instance_id).document if row.version else {"name": row.name}
    return _seen(page, row, document)


def _seen(page: Page, row: InstanceRow, document: Plain) -> Draft:
    data, folder = data_of(document), folder_of(document, page.space.instances.folder)
    look = _looks(page).known(data, folder)
    if look is None:  # no turn at heavy work: the form comes and is saved whatever else the server does
        look = _looks(page).of(data, folder)
    return draft_of(row, document, look, page.space.settings.policies)


def _looks(page: Page) -> Looks:
    found: Looks = page.request.app.state.looks
    return found


def _save(page: Page, found: Draft, document: Plain) -> Draft:
    """Keep a changed document as the draft; what is the same is not kept anew."""
    document = Proposals(page.space.home).named(found.row.id, found.document, document)
    if document == found.document:
        return found
    row = page.space.instances.save_draft(found.row.id, document, page.who)
    return _seen(page, row, document)


# --- the page ----------------------------------------------------------------------------------------------------


@router.get("/instances/{instance_id}/edit")
def edit(page: Manage, instance_id: InstanceId, step: Annotated[Step, Query()] = "goal") -> Response:
    """One step of the builder."""
    return page.html("edit.html.j2", **_given(page, draft(page, instance_id)), step=step)


def _given(page: Page, found: Draft) -> Plain:
    """What every part of the builder shows."""
    said = Proposals(page.space.home).of(found.row.id)
    return {
        "instance": found.row,
        "draft": found,
        "document": found.document,
        "revision": _revision(found.row),
        "said": said,
        "steps": STEPS,
        "goal": cards.goal_of(found.document),
        "population": cards.population_of(found.document),
        "events": cards.events_of(found.document),
        "counts": COUNT_WORDS,
        "bounds": BOUND_WORDS,
        "aggregates": AGGREGATES,
        "operators": cards.OPERATOR_WORDS,
        "operators_for": cards.operators_for,
        "valueless": cards.VALUELESS,
        "options": _options(found),
        "usual": Options(),
        "zones": sorted(available_timezones()),
        "files": page.space.data.files(),
        "sources": cards.sources_of(_section(found.document)),
        "tables": cards.tables_of(_section(found.document)),
        "consent": cards.consent_of(_section(found.document)),
        "labels": cards.labels_of(_section(found.document)),
        "links": cards.links_of(_section(found.document)),
        "label_words": LABEL_WORDS,
        "outside": data_of(found.document).folder == ".",
        "roles": SOURCE_ROLES,
        "all_columns": list(dict.fromkeys(c.name for p in found.look.previews for c in p.columns)),
    }


def _section(document: Plain) -> Plain:
    """The data section as it is written; an empty one where it is none."""
    section = document.get("data")
    return section if isinstance(section, dict) else {}


def _revision(row: InstanceRow) -> int:
    """Of two drafts of an instance, the newer one has the larger number: when it was changed, in microseconds."""
    return (row.changed_at - EPOCH) // timedelta(microseconds=1)


def _options(found: Draft) -> Plain:
    """Every option as it is written, the usual one where it is not."""
    usual = Options().model_dump(by_alias=True) | {n: getattr(Options(), n) for n in Options.model_fields}
    given = found.document.get("options")
    shown = usual | (given if isinstance(given, dict) else {})
    for name in DAYS:
        shown[name] = cards.days_text(shown[name])
    return shown


def _changed(page: Page, found: Draft, *, redraw: bool, **given: Any) -> Response:
    """What a change has changed: sentence, YAML, mistakes; and the cards where their form is another.

    It is of the newest draft, whichever change made that: this one may have waited while others were saved.
    """
    if page.space.instances.get(found.row.id).changed_at != found.row.changed_at:
        found = draft(page, found.row.id)
    shown_at = page.request.headers.get("HX-Current-URL", "")
    step = next((key for key, *_ in STEPS if f"step={key}" in shown_at), "goal")
    redraw = redraw and step == "goal"
    answer = page.html("edit_changed_part.html.j2", **_given(page, found), redraw=redraw, step=step, **given)
    answer.headers["HX-Trigger"] = "draft-changed"
    return answer


# --- changes -----------------------------------------------------------------------------------------------------


@router.post("/instances/{instance_id}/edit/setup")
def save_setup(page: Manage, instance_id: InstanceId, fields: Fields) -> Response:
    """Name, description and type."""
    found, form = draft(page, instance_id), dict(fields)
    changes = {key: form.get(key, "").strip() or None for key in ("name", "description", "type")}
    followed = found.document.get("name")
    if changes["name"] == form.get("shown") and followed == Proposals(page.space.home).of(instance_id).name:
        changes["name"] = followed  # the goal has changed since the field was drawn, and the name with it
    return _changed(page, _save(page, found, with_values(found.document, changes)), redraw=False)


@router.post("/instances/{instance_id}/edit/goal")
def save_goal(
    page: Manage,
    instance_id: InstanceId,
    fields: Fields,
    do: Annotated[str, Query(max_length=100)] = "",
    redraw: Annotated[str, Query(max_length=10)] = "",
) -> Response:
    """The cards; ``do`` adds or removes one, ``redraw`` has them drawn anew in any case."""
    found = draft(page, instance_id)
    document = cards.with_cards(found.document, cards.nested(fields), found.types)
    if do:
        document = cards.done(document, do, found.event_names, tuple(found.types))
    after = _save(page, found, document)
    has_changed = cards.form_of(document) != cards.form_of(found.document)
    return _changed(page, after, redraw=bool(do or redraw) or has_changed)


@router.post("/instances/{instance_id}/edit/options")
def save_options(page: Manage, instance_id: InstanceId, fields: Fields) -> Response:
    """The options; what is as usual is left out of the document."""
    found, form = draft(page, instance_id), dict(fields)
    after = _save(page, found, with_values(found.document, _option_changes(form)))
    return _changed(page, after, redraw=False)


def _option_changes(form: dict[str, str]) -> Plain:
    usual = Options()
    changes: Plain = {}
    for name in OPTION_PLACES:
        text = form.get(name, "").strip()
        value: Any = f"{text}d" if name in DAYS and text.isdecimal() else text or None
        if name in ("minimum", "quality_bar", "factors") and text:
            value = cards.read_number(text)
        is_usual = value == getattr(usual, name) or (name == "settle" and value == "0d")
        changes[f"options.{name}"] = None if is_usual else value
    edges = [cards.read_number(form[name].strip()) for name in ("bucket_low", "bucket_high") if name in form]
    changes["options.buckets"] = None if edges in ([], [*usual.buckets]) else edges
    for name in ("was_doing", "remove_met_in_gap", "enrich"):
        changes[f"options.{name}"] = None if name in form else False
    horizons = [f"{part.strip()}d" for part in form.get("horizons", "").replace("d", "").split(",") if part.strip()]
    changes["options.horizons"] = horizons or None
    return changes


@router.post("/instances/{instance_id}/edit/data")
def save_data(page: Manage, instance_id: InstanceId, fields: Fields) -> Response:
    """Which files are read, which column plays which role, and what else is known of profiles."""
    found, form = draft(page, instance_id), cards.nested(fields)
    section = cards.with_facts(cards.with_sources(_section(found.document), form), form)
    document = found.document | {"data": section}
    Proposals(page.space.home).stand_at(instance_id, str(form.get("as_of", "")))
    _save(page, found, document)
    return page.go(path("instances", instance_id, "edit") + "?step=data")


@router.post("/instances/{instance_id}/edit/sentence")
def save_sentence(
    page: Manage, instance_id: InstanceId, sentence: Annotated[str, Form(max_length=LONGEST)] = ""
) -> Response:
    """Goal and eligibility as a sentence says them; where it cannot be read, the place is shown and nothing changes."""
    found = draft(page, instance_id)
    try:
        document = with_sentence(found.document, sentence)
    except SentenceError as error:
        at = int(error.facts.get("position", 1)) - 1
        parts = sentence[:at], sentence[at : at + 12], sentence[at + 12 :]
        return page.html("sentence_refused_part.html.j2", error=error.to_dict(), parts=parts)
    return _changed(page, _save(page, found, document), redraw=True, sentence_read=True)


@router.post("/instances/{instance_id}/edit/yaml")
def save_yaml(page: Manage, instance_id: InstanceId, text: Annotated[str, Form(max_length=LONGEST)] = "") -> Response:
    """The whole document; mistakes are shown with their lines, and one that is no document changes nothing."""
    found = draft(page, instance_id)
    try:
        document, mistakes = document_of_yaml(text), mistakes_in_yaml(text)
    except ConfigurationError as error:
        return page.html("yaml_refused_part.html.j2", mistakes=error.mistakes, kept=False)
    if mistakes:
        return page.html("yaml_refused_part.html.j2", mistakes=mistakes, kept=False)
    return _changed(page, _save(page, found, document), redraw=True, yaml_read=True)


@router.post("/instances/{instance_id}/edit/mend")
def mend(
    page: Manage,
    instance_id: InstanceId,
    place: Annotated[str, Form(max_length=60)] = "",
    value: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """What the check offers: another window, look-back, minimum, or day to stand at."""
    found = draft(page, instance_id)
    document = found.document
    if place == AS_OF:
        Proposals(page.space.home).stand_at(instance_id, value)
    elif place == LOOK_BACK:
        document = document | {"eligible": with_look_back(document.get("eligible"), value)}
    elif place in ("goal.within", "options.minimum"):
        document = with_values(document, {place: int(value) if value.isdecimal() else value})
    else:
        raise invalid("There is no such remedy.", "open the page again.")
    return _changed(page, _save(page, found, document), redraw=True)


# --- the check ---------------------------------------------------------------------------------------------------


@router.post("/instances/{instance_id}/edit/check")
def check(page: Manage, instance_id: InstanceId) -> Response:
    """What the draft means on the data; one that was changed while this waited is not looked at any more."""
    try:
        return _check(page, instance_id)
    except ServerBusyError as busy:
        return page.waiting(busy)


def _check(page: Page, instance_id: str) -> Response:
    found = draft(page, instance_id)

    def told(**given: Any) -> Response:
        shown: Plain = {"checked": None, "refusal": None, "remedies": ()} | given
        return page.html(
            "check_part.html.j2", draft=found, document=found.document, instance=found.row,
            revision=_revision(found.row), **shown,
        )  # fmt: skip

    if not found.ready or found.instance is None:
        return told()
    as_of = Proposals(page.space.home).of(instance_id).as_of
    try:
        checked = _checked(page, found, as_of)
    except ServerBusyError:
        raise
    except PropendError as error:
        refusal = plain(error.to_dict())
        return told(refusal=refusal, remedies=remedies(found.instance, refusal))
    if checked is None:
        return Response(status_code=204)
    offered = tuple(r for refusal in checked["refusals"] for r in remedies(found.instance, refusal))
    return told(checked=checked, remedies=offered, as_of=as_of, **pictures_of(checked, found.instance))


def _checked(page: Page, found: Draft, as_of: Any) -> Plain | None:
    """The check's document; None where the draft is another by now."""
    instance, folder = found.instance, page.space.instances.folder
    if instance is None:
        return None

    def make() -> Plain | None:
        with page.heavy.turn():
            if draft_document(page, found.row.id) != found.document:
                return None
            made = pipeline.check(instance, as_of=as_of, home=folder, protection=page.space.protection())
        told: Plain = plain(made.to_dict())
        return told

    what = f"check {as_of} {write_yaml(instance.document())}"
    checked: Plain | None = _looks(page).kept(what, instance.data, folder_of(found.document, folder), make)
    return checked


def draft_document(page: Page, instance_id: str) -> Plain:
    """The document that is worked on at this moment."""
    row = page.space.instances.get(instance_id)
    if row.draft is not None:
        return row.draft
    return page.space.instances.version(instance_id).document if row.version else {"name": row.name}


# --- publishing --------------------------------------------------------------------------------------------------


@router.post("/instances/{instance_id}/edit/publish")
def publish(page: Manage, instance_id: InstanceId, run: Annotated[str, Form(max_length=5)] = "") -> Response:
    """Make the draft the newest version; with ``run``, also start a run of it."""
    row = page.space.instances.get(instance_id)
    if row.draft is not None:
        page.space.instances.publish(instance_id, page.who)
    elif not row.version:
        raise invalid("There is nothing to publish yet.", "define the goal first.")
    if not run:
        return page.go(path("instances", instance_id))
    as_of = Proposals(page.space.home).of(instance_id).as_of
    options = {"as_of": as_of.isoformat()} if as_of is not None else {}
    started = page.space.runs.start(instance_id, by=page.who, options=options)
    return page.go(path("runs", started.id))


@router.post("/instances/{instance_id}/edit/discard")
def discard(page: Manage, instance_id: InstanceId) -> Response:
    """Throw the draft away; an instance that never had a version goes with it."""
    row = page.space.instances.get(instance_id)
    if row.version:
        page.space.instances.save_draft(instance_id, None, page.who)
        return page.go(path("instances", instance_id))
    page.space.delete(instance_id, page.who)
    return page.go("/")
