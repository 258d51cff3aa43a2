"""Segments: saved rules over scores, put together by rows, counted while they are, and what became of their members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Response

from propend.errors import ConfigurationError, InstanceNotFoundError, PropendError
from propend.phrasing import count, percent
from propend.predicates import FieldType
from propend.segments import ELSEWHERE, HELD, SHOWN, Rule
from propend.server.cursors import cursor_of, place_of
from propend.server.failures import status_of
from propend.server.pages.served import Served, enriching_names, factor_labels, instance_names, name_of
from propend.server.pages.shell import Manage, Page, View, invalid, path
from propend.server.serving import CANNOT_BE_ASKED
from propend.server.state import Number
from propend.store.catalog import SegmentRow
from propend.store.runs import read_json
from propend.workspace.audiences import moved
from propend.workspace.rule_rows import BY_NAME, FIELDS, OPERATORS, Row, in_words, rows_of, text_of, without
from propend.workspace.score_file import ScoreFile
from propend.workspace.segments import Segments

router = APIRouter()
Plain = dict[str, Any]
PER_PAGE = 25
MEMBERS = 50
MOST_ROWS = 30
HISTORY = 24
PER_CHANGES = 200
Text = Annotated[str, Form(max_length=200_000)]
Texts = Annotated[list[str], Form(max_length=MOST_ROWS)]
Cursor = Annotated[str, Query(max_length=3000)]
Asked = Annotated[str, Query(max_length=200_000)]


@dataclass
class Draft:
    """A rule that is being put together, as the form has it.

    Attributes:
        instance: whose scores it is about.
        mode: ``rows`` or ``text``.
    """

    instance: str
    name: str
    mode: str
    rows: list[Row]
    text: str

    @classmethod
    def of(cls, page: Page, instance: str, where: str, name: str = "") -> Draft:
        """From a rule's text: by rows where it fits into them."""
        rows = _rows(page, instance, where)
        if rows is None:
            return cls(instance, name, "text", [], where)
        return cls(instance, name, "rows", rows or [Row.fitting("bucket", "", "")], where)

    @property
    def where(self) -> str:
        """The rule as text.

        Raises:
            ConfigurationError: a value of a row cannot be read.
        """
        return text_of(self.rows) if self.mode == "rows" else self.text.strip()

    @property
    def rule(self) -> Rule:
        """The rule; without conditions it means everybody.

        Raises:
            ConfigurationError: it cannot be read.
        """
        return Rule.read(self.where) if self.where else Rule()


def _rows(page: Page, instance: str, where: str) -> list[Row] | None:
    if not where.strip():
        return []
    try:
        rule = Rule.read(where)
        return rows_of(rule, _types(page, instance, *rule.elsewhere))
    except PropendError:
        return None  # it is shown as text, with what is wrong with it


def _types(page: Page, instance: str, *others: str) -> dict[str, FieldType]:
    """Of what is beside the scores that a rule over an instance may speak of, by field: its own, and of others."""
    found: dict[str, FieldType] = {}
    for instance_id in dict.fromkeys((instance, *others)):
        if page.space.runs.serving(instance_id) is not None:
            head = "" if instance_id == instance else f"{instance_id}:"
            found |= {head + field: kind for field, kind in page.scores.of(instance_id).known.types.items()}
    return found


def _draft(
    page: View,
    instance: Text = "",
    name: Text = "",
    mode: Text = "text",
    where: Text = "",
    field: Texts = [],  # noqa: B006  the framework copies them
    operator: Texts = [],  # noqa: B006
    value: Texts = [],  # noqa: B006
    join: Texts = [],  # noqa: B006
) -> Draft:
    """The form as it was sent."""
    if not len(field) == len(operator) == len(value) == len(join):
        raise invalid("A row lacks its field, its operator, its value or how it is joined.", "load the page again.")
    typed = [name for name in field if SHOWN in name or HELD in name]
    others = (there[1] for name in typed if (there := ELSEWHERE.fullmatch(name)))
    types = _types(page, instance, *others) if typed else {}
    rows = [Row.fitting(*row, types.get(row[0], "")) for row in zip(field, operator, value, join, strict=True)]
    return Draft(instance, name[:200].strip(), "rows" if mode == "rows" else "text", rows, where)


Filled = Annotated[Draft, Depends(_draft)]


def _segments(page: Page) -> Segments:
    return Segments(page.space.catalog, page.space.instances)


# --- the list ---------------------------------------------------------------------------------------------------


@router.get("/segments")
def list_segments(page: View, instance: Asked = "", cursor: Cursor = "") -> Response:
    """Segments, in the order in which they were made; their sizes come when they are seen."""
    names, rules = instance_names(page), _segments(page)
    wanted = [instance] if instance in names else list(names)
    after = place_of(cursor, int)[0] if cursor else 0
    found = rules.some(wanted, after, PER_PAGE + 1)
    more = cursor_of(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None
    shown = [{"row": row, "sentence": _sentence(page, row)} for row in found[:PER_PAGE]]
    chosen = instance if instance in names else ""
    may_make = enriching_names(page)
    makes = chosen in may_make if chosen else bool(may_make)
    return page.html("segments.html.j2", segments=shown, more=more, names=names, chosen=chosen, makes=makes)


@router.get("/segments/{segment_id}/size")
def segment_size(page: View, segment_id: Number) -> Response:
    """How many profiles a segment has, and what to expect of them: a part of the list."""
    row = _segments(page).get(segment_id)
    try:
        found = {"problem": None, **_size(page, row.instance_id, Rule.read(row.where))}
    except CANNOT_BE_ASKED as error:
        found = {"problem": _told(error), "size": None}
    return page.html("segment_size_part.html.j2", **found)


# --- putting a rule together ------------------------------------------------------------------------------------


@router.get("/segments/new")
def new_segment(page: View, instance: Asked = "", where: Asked = "", mode: Asked = "") -> Response:
    """The form for a new one, filled in from the address."""
    names = enriching_names(page)
    if not names:
        return page.html("segment_form.html.j2", draft=None, segment=None)
    draft = Draft.of(page, instance if instance in names else next(iter(names)), where)
    if mode == "text":
        draft.mode, draft.text = "text", where
    return _form(page, draft)


@router.get("/segments/{segment_id}/edit")
def edit_segment(page: Manage, segment_id: Number) -> Response:
    """The form with a segment's rule."""
    row = _segments(page).get(segment_id)
    return _form(page, Draft.of(page, row.instance_id, row.where, row.name), row)


@router.post("/segments/rule")
def change_rule(
    page: View,
    draft: Filled,
    action: Text = "",
) -> Response:
    """The rule with a row more or less, with other fields, by rows or as text: a part of the form, with its count."""
    note = ""
    if action == "add" and len(draft.rows) < MOST_ROWS:
        draft.rows.append(Row.fitting("probability", "", ""))
    elif action.startswith("remove-") and action[7:].isdecimal():
        draft.rows = without(draft.rows, int(action[7:]))
    elif action == "text":
        draft.text, draft.mode = text_of(draft.rows) if draft.mode == "rows" else draft.text, "text"
    elif action == "rows" and draft.mode == "text":
        rows = _rows(page, draft.instance, draft.text)
        draft.rows, draft.mode = (rows, "rows") if rows is not None else ([], "text")
        note = "" if rows is not None else "This rule does not fit into rows. It stays as text."
    return page.html("segment_rule_part.html.j2", **_builder(page, draft), note=note, with_count=True)


@router.post("/segments/count")
def count_rule(
    page: View,
    draft: Filled,
) -> Response:
    """How many profiles the rule means as it stands: a part of the form."""
    return page.html("segment_count_part.html.j2", **_counted(page, draft))


@router.post("/segments")
def create_segment(
    page: Manage,
    draft: Filled,
) -> Response:
    """Save a new one, and go to it."""
    try:
        _gate(page, draft)
        found = _segments(page).create(draft.instance, draft.name, draft.where, name_of(page))
    except PropendError as error:
        return _form(page, draft, error=error)
    return page.go(path("segments", found.id))


@router.post("/segments/{segment_id}")
def save_segment(
    page: Manage,
    segment_id: Number,
    draft: Filled,
) -> Response:
    """Give a segment another name or rule."""
    row = _segments(page).get(segment_id)
    draft.instance = row.instance_id
    try:
        _gate(page, draft)
        _segments(page).change(segment_id, draft.name, draft.where, name_of(page))
    except PropendError as error:
        return _form(page, draft, row, error)
    return page.go(path("segments", segment_id))


@router.post("/segments/{segment_id}/delete")
def delete_segment(page: Manage, segment_id: Number) -> Response:
    """Remove a segment; the scores stay."""
    page.space.membership.remove(segment_id, name_of(page))
    return page.go("/segments")


def _gate(page: Page, draft: Draft) -> None:
    if not draft.name:
        raise invalid("The segment has no name.", "give it one, by which others find it.")
    if not draft.where:
        raise invalid("The segment has no rule.", "add a row and fill it in.")
    page.scores.gate(draft.instance, draft.rule)


def _form(page: Page, draft: Draft, segment: SegmentRow | None = None, error: PropendError | None = None) -> Response:
    told = _told(error) if error is not None else None
    given = {**_builder(page, draft), "segment": segment, "error": told, "note": ""}
    return page.html("segment_form.html.j2", status_of(error) if error is not None else 200, **given)


def _builder(page: Page, draft: Draft) -> Plain:
    """What the form needs: its rows with what each may be, and the count."""
    every, names = instance_names(page), enriching_names(page)
    if draft.instance in every:  # one that was saved before its instance enriched no profiles any more
        names |= {draft.instance: every[draft.instance]}
    if draft.instance not in names:
        raise InstanceNotFoundError(
            f"There is no instance {draft.instance!r:.80} in this workspace.", "choose one of those there are."
        )
    own = [(field.name, field.label) for field in FIELDS]
    labels, types = factor_labels(page, draft.instance), _types(page, draft.instance)
    codes = [field.removeprefix(SHOWN) for field in types if field.startswith(SHOWN)]
    values = [(SHOWN + code, f"Value of {labels.get(code, code)}") for code in codes]
    held = [(field, field.removeprefix(HELD)) for field in types if field.startswith(HELD)]
    others = [
        {"name": name, "fields": [(f"{i}:{field.name}", f"{field.label.rstrip(':')} · {name}") for field in FIELDS]}
        for i, name in names.items()
        if i != draft.instance
    ]
    return {
        "draft": draft, "names": names, "own": own, "values": values, "held": held, "others": others,
        "operators": OPERATORS, "rows": [_row(page, draft, row, labels) for row in draft.rows], **_counted(page, draft),
    }  # fmt: skip


def _row(page: Page, draft: Draft, row: Row, labels: Mapping[str, str]) -> Plain:
    there = ELSEWHERE.fullmatch(row.field)
    name = there[2] if there else row.field
    code = name.removeprefix(SHOWN)
    label = BY_NAME[name].label if name in BY_NAME else f"Value of {code if there else labels.get(code, code)}"
    frequent: list[str] = []
    if name.startswith(HELD):
        label = name.removeprefix(HELD)
        frequent = page.scores.of(row.instance or draft.instance).frequent(label)
    choices = factor_labels(page, row.instance or draft.instance) if row.kind == "factor" else {}
    if row.kind == "factor" and row.value and row.value not in choices:
        choices = {row.value: row.value, **choices}
    return {
        "field": row.field, "operator": row.operator, "value": row.value, "kind": row.kind or "bucket",
        "join": row.join, "label": label, "choices": choices, "frequent": frequent,
        "beside": there is not None and name not in BY_NAME,
    }  # fmt: skip


# --- what a rule means ------------------------------------------------------------------------------------------


def _counted(page: Page, draft: Draft) -> Plain:
    """The rule in words and what it counts; or what is wrong with it."""
    try:
        rule = draft.rule
        return {"problem": None, "sentence": _words(page, draft.instance, rule), **_size(page, draft.instance, rule)}
    except PropendError as error:
        return {"problem": _told(error), "sentence": "", "size": None}


def _told(error: PropendError) -> Plain:
    """A refusal as a form shows it: of a rule only what is wrong with it, for its place is plain to see."""
    told = error.to_dict()
    if isinstance(error, ConfigurationError):
        told |= {"message": "; ".join(m.problem for m in error.mistakes) + ".", "hint": ""}
    return told


def _size(page: Page, instance_id: str, rule: Rule) -> Plain:
    """``size`` is None where there are no scores yet."""
    if page.space.runs.serving(instance_id) is None:
        return {"size": None}
    served = Served.of(page, instance_id)
    found, given = served.tally(rule), served.given
    expected, usual = found.expected, given.insights["mean_probability"]
    share = percent(found.n / max(served.population, 1))
    numbers = [
        {"label": "Profiles", "value": count(found.n), "note": f"{share} of all"},
        {
            "label": f"Expected to {given.words.do}", "value": count(round(expected["value"])),
            "note": f"between {count(round(expected['low']))} and {count(round(expected['high']))}",
        },
        {
            "label": f"Chance to {given.words.do}, on average", "value": percent(found.rate),
            "note": f"{found.rate / usual:.1f} times the average of all" if found.rate and usual else "",
        },
    ]  # fmt: skip
    dates = {"as_of": given.day(given.run["scored_at"]), "until": given.day_before(given.run["expires_at"])}
    return {"size": found, "numbers": numbers, "words": given.words, "tones": given.tones, **dates}


def _words(page: Page, instance_id: str, rule: Rule) -> str:
    labels = factor_labels(page, instance_id) if rule.conditions else {}
    for other in rule.elsewhere:
        labels = factor_labels(page, other) | labels
    return in_words(rule, labels, instance_names(page))


def _sentence(page: Page, row: SegmentRow) -> str:
    return _words(page, row.instance_id, Rule.read(row.where))


# --- one segment ------------------------------------------------------------------------------------------------


@router.get("/segments/{segment_id}")
def one_segment(page: View, segment_id: Number, cursor: Cursor = "") -> Response:
    """A segment: its rule, what to expect, its members by their chances."""
    row = _segments(page).get(segment_id)
    rule, instance = Rule.read(row.where), page.space.instances.get(row.instance_id)
    given: Plain = {"segment": row, "instance": instance, "sentence": _sentence(page, row)}
    try:
        size = _size(page, row.instance_id, rule)
    except CANNOT_BE_ASKED as error:
        return page.html("segment.html.j2", **given, size=None, members=[], more=None, problem=_told(error))
    members, more = _members(page, row, rule, cursor) if size["size"] else ([], None)
    return page.html("segment.html.j2", **given, **size, members=members, more=more, problem=None)


def _members(page: Page, row: SegmentRow, rule: Rule, cursor: str) -> tuple[list[Plain], str | None]:
    scores = Served.of(page, row.instance_id).scores
    after = None
    if cursor:
        profile_id, probability = place_of(cursor, str, float)
        after = {"profile_id": profile_id, "probability": probability}
    found = scores.page(rule, "-probability", after, MEMBERS + 1)
    more = cursor_of(found[MEMBERS - 1]["profile_id"], found[MEMBERS - 1]["probability"]) if found[MEMBERS:] else None
    return found[:MEMBERS], more


@router.get("/segments/{segment_id}/history")
def segment_history(page: View, segment_id: Number) -> Response:
    """The segment run by run: a part of its page."""
    row = _segments(page).get(segment_id)
    found = page.space.membership.history(segment_id, HISTORY)
    served = Served.of(page, row.instance_id) if page.space.runs.serving(row.instance_id) is not None else None
    rows = [
        {
            "row": one, "day": served.given.day(one.at.isoformat()) if served else f"{one.at:%Y-%m-%d}",
            "other": _words(page, row.instance_id, Rule.read(one.where)) if one.where != row.where else "",
        }
        for one in found
    ]  # fmt: skip
    first = found[-1].run_id if len(found) < HISTORY and found else None
    return page.html(
        "segment_history_part.html.j2", segment=row, rows=rows, first=first,
        words=served.given.words if served else None,
    )  # fmt: skip


@router.get("/segments/{segment_id}/changes")
def segment_changes(page: View, segment_id: Number, change: Asked = "", cursor: Cursor = "") -> Response:
    """Who joined or left by the newest run, by id."""
    row = _segments(page).get(segment_id)
    change = change if change in ("joined", "stayed", "left") else "joined"
    after = place_of(cursor, str)[0] if cursor else None
    _, found = page.space.membership.page(segment_id, change, after, PER_CHANGES + 1)
    ids = [one["profile_id"] for one in found[:PER_CHANGES]]
    more = cursor_of(ids[-1]) if len(found) > PER_CHANGES else None
    first = len(page.space.membership.history(segment_id, 2)) == 1
    return page.html("segment_changes.html.j2", segment=row, change=change, ids=ids, more=more, first=first)


@router.get("/segments/{segment_id}/movement")
def segment_movement(page: View, segment_id: Number) -> Response:
    """Who joined and who left since the run before: a part of the page."""
    row = _segments(page).get(segment_id)
    rule, served = Rule.read(row.where), Served.of(page, row.instance_id)
    before = next(
        (
            run
            for run in page.space.runs.history(row.instance_id, state="succeeded", before=served.run.queued_at)
            if run.scores_kept
        ),
        None,
    )
    if before is None:
        return page.html("segment_movement_part.html.j2", movement=None, other=False)
    with page.heavy.turn():
        earlier = ScoreFile.open(page.space.runs.folder(before), elsewhere=page.scores.of)
        try:
            earlier.gate(rule)
        except CANNOT_BE_ASKED:
            return page.html("segment_movement_part.html.j2", movement=None, other=True)
        found = moved(served.scores, earlier, rule)
    scored_at = read_json(page.space.runs.folder(before) / "run.json")["scored_at"]
    dates: Plain = {"then": served.given.day(scored_at), "elsewhere": bool(rule.elsewhere)}
    return page.html("segment_movement_part.html.j2", movement=found, **dates)
