"""Cards as a document: what a form of cards says is taken back into it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from propend.cards.form import mapping, rows_of
from propend.cards.operators import VALUELESS
from propend.cards.shown import COMBINATOR_OF, Plain, item_of
from propend.conditions import LISTS, OPERATORS, TEXT_ONLY
from propend.errors import RequestInvalidError
from propend.goal import AGGREGATES, BOUNDS, COMBINATORS, read_measured, write_item, write_measured
from propend.predicates import FieldType


def with_cards(document: Plain, form: Plain, types: Mapping[str, FieldType]) -> Plain:
    """A document with its goal, eligibility and named events as a form of cards has them.

    Args:
        form: nested: ``goal``, ``population`` and ``events``, with lists of cards (``nested``).
        types: of the columns of the data; values are read as these, and as they look where a column is not known.

    Raises:
        RequestInvalidError: it is no form of cards.
    """
    changed, cards = dict(document), rows_of(form.get("events"))
    try:
        names, events = _read_events(cards, types)
        changed["events"] = events
        number = next((name for name, kind in types.items() if kind == "number"), "")
        changed["goal"] = _read_goal(mapping(form.get("goal")), number)
        changed["eligible"] = _read_population(mapping(form.get("population")), document.get("eligible"), number)
    except (json.JSONDecodeError, csv.Error) as error:
        raise RequestInvalidError("The cards cannot be read.", "open the page again.") from error
    for key in ("exits", "exclude"):
        others = [n for n in document.get(key) or () if n not in names and n not in names.values()]
        changed[key] = [*others, *(names[str(c.get("was", ""))] for c in cards if c.get(key))]
    changed["goal"] = renamed(changed["goal"], names)  # a form speaks of events by the names that they had
    was_sent = list(document.get("events") or ()) == list(events)  # once before, and not drawn anew since
    if not (was_sent and mapping(form.get("population")).get("kept")):
        changed["eligible"] = renamed(changed["eligible"], names)
    return {key: value for key, value in changed.items() if value not in (None, {}, []) or key == "goal"}


def renamed(part: Any, names: Mapping[str, str]) -> Any:
    """A goal or an eligibility in which events have other names, by their old ones; two may exchange theirs."""
    if isinstance(part, str):
        return names.get(part, part)
    if isinstance(part, list | tuple):
        return [renamed(p, names) for p in part]
    if not isinstance(part, dict):
        return part
    found = {}
    for key, value in part.items():
        measured = read_measured(value) if key in AGGREGATES else None
        if measured is not None and measured[0] in names:
            found[key] = write_measured(names[measured[0]], measured[1])
        else:
            found[key] = renamed(value, names) if key in ("did", "then", *COMBINATORS) else value
    return found


def _read_goal(form: Plain, number: str) -> Plain:
    items = [_read_item(card, number) for card in rows_of(form.get("items"))]
    how = str(form.get("will", "will")), str(form.get("how", "all"))
    combinator = COMBINATOR_OF.get(how, "all_of")
    if len(items) == 1:
        combinator = "none_of" if how[0] == "not" else "all_of"
    goal: Plain = {combinator: items}
    lead, within = _read_days(form.get("lead")), _read_days(form.get("within"))
    if lead not in (None, "0d"):
        goal["from"] = lead
    return goal if within is None else goal | {"within": within}


def _read_population(form: Plain, before: Any, number: str) -> Any:
    if form.get("kept"):
        return before
    lines = [_read_item(card, number) for card in rows_of(form.get("lines"))]
    if not lines:
        return None
    return {"any_of" if form.get("how") == "any" and len(lines) > 1 else "all_of": lines}


def _read_item(card: Plain, number_field: str) -> Any:
    """An item of a card; what the card does not show is as it was. An aggregate of no column yet is of a likely one."""
    before = json.loads(str(card.get("plain") or "{}"))
    if "event" not in card:
        return before
    kept = {key: before[key] for key in ("from",) if isinstance(before, dict) and key in before}
    within = (
        _read_days(card.get("within")) if "within" in card or not isinstance(before, dict) else before.get("within")
    )
    if within is not None:
        kept["within"] = within
    count, number = str(card.get("count", "at_least")), str(card.get("number", "")).strip()
    event = str(card["event"])
    if count in AGGREGATES:
        bound = card.get("bound") if card.get("bound") in BOUNDS else "gte"
        return {
            count: write_measured(event, str(card.get("field") or number_field)),
            str(bound): read_number(number),
        } | kept
    return _plain_did({"did": event} | _read_count(count, number, str(card.get("side", "include"))) | kept)


def _read_count(count: str, number: str, side: str) -> Plain:
    times = read_number(number) if number else 1
    if count == "first":
        return {"first_time": True}
    if count == "exactly":
        return {"at_least": times, "at_most": times}
    if count == "at_most":
        return {"at_most": times}
    if side == "exclude":
        return {"at_most": times - 1 if isinstance(times, int) else times}
    return {} if times == 1 else {"at_least": times}


def _plain_did(item: Plain) -> Any:
    """The shortest form of an item; as it is where it is not valid yet."""
    try:
        return write_item(item_of(item))
    except ValidationError:
        return item


def _read_days(value: Any) -> Any:
    text = str(value or "").strip()
    if not text:
        return None
    return f"{text}d" if text.isdigit() else text


def read_number(text: str) -> Any:
    """A number as it looks; what is none stays a text, and is a mistake in its place."""
    try:
        found = float(text)
    except ValueError:
        return text
    return int(found) if found.is_integer() and abs(found) < 1e15 else found


def _read_events(forms: list[Plain], types: Mapping[str, FieldType]) -> tuple[dict[str, str], Plain]:
    """New names by the old ones, and the events by their new names.

    Of two that shall have one name, the one that has it keeps it.
    """
    pairs = [(str(form.get("was", "")), str(form.get("name", "")).strip()) for form in forms]
    taken = {new for old, new in pairs if old == new}
    names: dict[str, str] = {}
    events: Plain = {}
    for form, (old, new) in zip(forms, pairs, strict=True):
        name = new or old
        while (name != old and name in taken) or name in events:
            name = f"{name}_2"
        taken.add(name)
        names[old] = name
        events[name] = json.loads(str(form["kept"])) if form.get("kept") else _read_event(form, types)
    return names, events


def _read_event(form: Plain, types: Mapping[str, FieldType]) -> Plain:
    kinds = form.get("kinds") or []
    kinds = [str(k) for k in ([kinds] if isinstance(kinds, str) else kinds)]
    event: Plain = {"is": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
    where = [_read_condition(c, types.get(str(c.get("field", "")))) for c in rows_of(form.get("where"))]
    merged = {field: test for one in where for field, test in one.items()}
    if where:
        event["where"] = merged if len(merged) == len(where) else where
    return event


def _read_condition(form: Plain, kind: FieldType | None) -> Plain:
    field, operator = str(form.get("field", "")), str(form.get("operator", "exists"))
    value, second = str(form.get("value", "")).strip(), str(form.get("second", "")).strip()
    if operator in VALUELESS or operator not in OPERATORS:
        return {field: {"exists": operator != "missing"}}
    as_text = operator in TEXT_ONLY
    if operator in LISTS:
        parts = next(csv.reader([value], skipinitialspace=True), []) if value else []
        return {field: {operator: [_read_value(p.strip(), kind) for p in parts]}}
    if operator == "between":
        return {field: {operator: [_read_value(value, kind), _read_value(second, kind)]}}
    return {field: {operator: value if as_text else _read_value(value, kind)}}


def _read_value(text: str, kind: FieldType | None) -> Any:
    if kind in ("text", "time"):
        return text
    if text.lower() in ("true", "false") and kind != "number":
        return text.lower() == "true"
    return read_number(text)
