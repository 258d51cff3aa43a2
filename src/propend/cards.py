"""A goal as cards: the third face of a document, beside its sentence and its YAML.

A card is one item of the goal or of the eligibility, or one named event. ``goal_of``, ``population_of`` and
``events_of`` make cards of a document, finished or not; ``with_cards`` takes what a form of cards says back into it.
What cards cannot show (sequences, groups within groups) is carried through them as it is.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from pydantic import ValidationError

from propend.conditions import LISTS, OPERATORS, ORDERED, TEXT_ONLY, Condition, read_where
from propend.document import database_at
from propend.errors import RequestInvalidError
from propend.goal import (
    AGGREGATES,
    BOUNDS,
    COMBINATORS,
    Group,
    Item,
    read_days,
    read_measured,
    write_item,
    write_measured,
)
from propend.predicates import FieldType
from propend.sentence import number_text, write_item_phrase

Plain = dict[str, Any]
COUNTS = ("at_least", "at_most", "exactly", "first")
"""How an event is counted by a card; beside ``goal.AGGREGATES``."""
HOW_OF = {"all_of": ("will", "all"), "any_of": ("will", "any"), "none_of": ("not", "any"), "not_all_of": ("not", "all")}
"""Whether a goal is that something happens, and whether all or any of it."""
COMBINATOR_OF = {how: combinator for combinator, how in HOW_OF.items()}
OPERATOR_WORDS = {
    "exists": "has a value", "missing": "has no value", "eq": "is", "ne": "is not", "gt": "is more than",
    "gte": "is at least", "lt": "is less than", "lte": "is at most", "between": "is between", "in": "is one of",
    "not_in": "is none of", "starts_with": "begins with", "ends_with": "ends with", "contains": "contains",
    "matches": "matches the pattern",
}  # fmt: skip
"""Operators as people say them; ``missing`` is ``exists: false``."""
VALUELESS = ("exists", "missing")
MOST_PARTS = 8
"""Of a name of a form's field."""


@dataclass(frozen=True)
class ItemCard:
    """One item of a goal or of an eligibility.

    Attributes:
        plain: the item as it stands in the document, as JSON.
        event: its event; empty where the card cannot be edited.
        count: one of ``COUNTS``, or an aggregate of ``field``.
        number: times, or the bound of the aggregate, as a text.
        field, bound: of an aggregate.
        side: of an eligibility: ``include`` or ``exclude``.
        within: days of its own window, as a text; empty without one.
        phrase: what it says, where it cannot be edited; else what it says beyond the card.
        editable: whether the card shows all of it.
    """

    plain: str
    event: str = ""
    count: str = "at_least"
    number: str = "1"
    field: str = ""
    bound: str = "gte"
    side: str = "include"
    within: str = ""
    phrase: str = ""
    editable: bool = True


@dataclass(frozen=True)
class GoalCards:
    """A goal: whether it ``will`` happen or ``not``, ``all`` or ``any`` of its items, and its days as texts."""

    will: str
    how: str
    items: tuple[ItemCard, ...]
    within: str
    lead: str


@dataclass(frozen=True)
class PopulationCards:
    """An eligibility: ``all`` or ``any`` of its lines; ``phrase`` where cards cannot show it."""

    how: str = "all"
    lines: tuple[ItemCard, ...] = ()
    phrase: str = ""


@dataclass(frozen=True)
class ConditionCard:
    """One condition; its value as texts. ``second`` is the upper one of ``between``."""

    field: str
    operator: str
    value: str = ""
    second: str = ""


@dataclass(frozen=True)
class EventCard:
    """A named event: kinds and conditions, all on the same event.

    Attributes:
        used: where it is used, in words.
        exits, exclude: whether it ends observation, or is ignored altogether.
        kept: what cannot be shown, as JSON; empty where all of it is.
    """

    name: str
    kinds: tuple[str, ...]
    where: tuple[ConditionCard, ...]
    used: tuple[str, ...] = ()
    exits: bool = False
    exclude: bool = False
    kept: str = ""


# --- a document as cards ---------------------------------------------------------------------------------------


def goal_of(document: Plain) -> GoalCards:
    """The goal's cards."""
    goal = document.get("goal")
    combinator, items, rest = _parted(goal if isinstance(goal, dict) else {}, ("within", "from"))
    will, how = HOW_OF[combinator]
    cards = tuple(_item_card(item, ahead=True) for item in items)
    return GoalCards(will, how, cards, days_text(rest.get("within")), days_text(rest.get("from")))


def population_of(document: Plain) -> PopulationCards:
    """The eligibility's cards."""
    eligible = document.get("eligible")
    if not isinstance(eligible, dict):
        return PopulationCards()
    combinator, items, _ = _parted(eligible, ())
    if combinator not in ("all_of", "any_of"):
        return PopulationCards(phrase=_phrase(eligible) or json.dumps(eligible))
    lines = tuple(_item_card(item, ahead=False) for item in items)
    return PopulationCards("any" if combinator == "any_of" else "all", lines)


def events_of(document: Plain) -> tuple[EventCard, ...]:
    """A card for each named event."""
    events = document.get("events")
    return tuple(_event_card(str(n), e, document) for n, e in events.items()) if isinstance(events, dict) else ()


def _parted(group: Plain, windows: Sequence[str]) -> tuple[str, list[Any], Plain]:
    """Combinator, items and what stands beside them; one bare item is all of itself."""
    rest = {k: v for k, v in group.items() if k in windows}
    body = {k: v for k, v in group.items() if k not in windows}
    combinator = next((c for c in COMBINATORS if c in body), None)
    if combinator is None:
        return "all_of", [body] if body else [], rest
    items = body[combinator]
    return combinator, list(items) if isinstance(items, list | tuple) else [items], rest


def days_text(value: Any) -> str:
    """Days as a number of them; what is none stays as it is written."""
    if value in (None, ""):
        return ""
    try:
        return str(read_days(value))
    except ValueError:
        return str(value)


def _item_card(item: Any, ahead: bool) -> ItemCard:
    plain = {"did": item} if isinstance(item, str) else item
    written = json.dumps(plain, ensure_ascii=False)
    if not isinstance(plain, dict) or "then" in plain or any(c in plain for c in COMBINATORS):
        return ItemCard(written, phrase=_phrase(plain) or written, editable=False)
    own = days_text(plain.get("within"))
    beyond = f"starting {days_text(plain['from'])} days ahead" if "from" in plain else ""
    aggregate = next((a for a in AGGREGATES if a in plain), None)
    if aggregate is not None:
        event, field = read_measured(plain[aggregate]) or (str(plain[aggregate]).removesuffix("."), "")
        bound = next((b for b in BOUNDS if b in plain), "gte")
        number = _number(plain.get(bound))
        return ItemCard(written, event, aggregate, number, field, bound, within=own, phrase=beyond)
    counted = _counted(plain, ahead)
    if counted is None:
        return ItemCard(written, phrase=_phrase(plain) or written, editable=False)
    side, count, number = counted
    return ItemCard(written, str(plain.get("did", "")), count, number, side=side, within=own, phrase=beyond)


def _counted(plain: Plain, ahead: bool) -> tuple[str, str, str] | None:
    """Side, count and number of an event; None for a range that no card has."""
    low, high = plain.get("at_least"), plain.get("at_most")
    if plain.get("first_time"):
        return ("include", "first", "1") if low in (None, 1) else None
    if high is None:
        return "include", "at_least", _number(low if low is not None else 1)
    if low is not None and low == high:
        return "include", "exactly", _number(low)
    if low not in (None, 0):
        return None
    if ahead or not isinstance(high, int):
        return "include", "at_most", _number(high)
    return "exclude", "at_least", str(high + 1)


def _item(plain: Any) -> Item:
    """An item of plain data.

    Raises:
        ValidationError: it is none.
    """
    return Group.model_validate({"all_of": [plain]}).items[0]


def _phrase(plain: Any) -> str:
    try:
        return write_item_phrase(_item(plain))
    except ValidationError:
        return ""


def _number(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    return number_text(float(value)) if isinstance(value, int | float) else str(value)


def _event_card(name: str, event: Any, document: Plain) -> EventCard:
    exits, exclude = (name in (document.get(key) or ()) for key in ("exits", "exclude"))
    used = tuple(_uses(name, document))
    given = event if isinstance(event, dict) else {}
    kinds = given.get("is", ())
    many = kinds if isinstance(kinds, list | tuple) else (kinds,)
    try:
        conditions = tuple(_condition_card(c) for c in read_where(given.get("where")))
    except (ValueError, TypeError, KeyError):
        return EventCard(
            name, tuple(map(str, many)), (), used, exits, exclude, kept=json.dumps(event, ensure_ascii=False)
        )
    return EventCard(name, tuple(map(str, many)), conditions, used, exits, exclude)


def _condition_card(condition: Any) -> ConditionCard:
    told = condition.model_dump() if isinstance(condition, Condition) else condition
    field, operator, value = str(told["field"]), str(told["operator"]), told["value"]
    if operator == "exists":
        return ConditionCard(field, "exists" if value is not False else "missing")
    if operator == "between" and isinstance(value, list | tuple) and len(value) == 2:
        return ConditionCard(field, operator, *map(_text, value))
    if isinstance(value, list | tuple):
        return ConditionCard(field, operator, ", ".join(_listed(v) for v in value))
    return ConditionCard(field, operator, _text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _number(value) if isinstance(value, int | float) else str(value)


def _listed(value: Any) -> str:
    """A value in a list of values with commas between them."""
    text = _text(value)
    return '"' + text.replace('"', '""') + '"' if any(s in text for s in ',"\n') or text != text.strip() else text


def _uses(name: str, document: Plain) -> Iterable[str]:
    for section, words in (("goal", "the goal"), ("eligible", "the population")):
        if name in _names_in(document.get(section)):
            yield words


def _names_in(part: Any) -> set[str]:
    """Names of events anywhere in a goal or an eligibility."""
    if isinstance(part, str):
        return {part}
    if isinstance(part, list | tuple):
        return set().union(*map(_names_in, part))
    if not isinstance(part, dict):
        return set()
    found: set[str] = set()
    for key, value in part.items():
        if key in AGGREGATES:
            found |= {measured[0]} if (measured := read_measured(value)) else set()
        elif key in ("did", "then", *COMBINATORS):
            found |= _names_in(value)
    return found


# --- cards as a document ---------------------------------------------------------------------------------------


def with_cards(document: Plain, form: Plain, types: Mapping[str, FieldType]) -> Plain:
    """A document with its goal, eligibility and named events as a form of cards has them.

    Args:
        form: nested: ``goal``, ``population`` and ``events``, with lists of cards (``nested``).
        types: of the columns of the data; values are read as these, and as they look where a column is not known.

    Raises:
        RequestInvalidError: it is no form of cards.
    """
    changed, cards = dict(document), _rows(form.get("events"))
    try:
        names, events = _read_events(cards, types)
        changed["events"] = events
        number = next((name for name, kind in types.items() if kind == "number"), "")
        changed["goal"] = _read_goal(_mapping(form.get("goal")), number)
        changed["eligible"] = _read_population(_mapping(form.get("population")), document.get("eligible"), number)
    except (json.JSONDecodeError, csv.Error) as error:
        raise RequestInvalidError("The cards cannot be read.", "open the page again.") from error
    for key in ("exits", "exclude"):
        others = [n for n in document.get(key) or () if n not in names and n not in names.values()]
        changed[key] = [*others, *(names[str(c.get("was", ""))] for c in cards if c.get(key))]
    for old, new in names.items():
        if old != new:
            changed |= {key: renamed(changed[key], old, new) for key in ("goal", "eligible")}
    return {key: value for key, value in changed.items() if value not in (None, {}, []) or key == "goal"}


def renamed(part: Any, old: str, new: str) -> Any:
    """A goal or an eligibility in which an event has another name."""
    if isinstance(part, str):
        return new if part == old else part
    if isinstance(part, list | tuple):
        return [renamed(p, old, new) for p in part]
    if not isinstance(part, dict):
        return part
    found = {}
    for key, value in part.items():
        measured = read_measured(value) if key in AGGREGATES else None
        if measured is not None and measured[0] == old:
            found[key] = write_measured(new, measured[1])
        else:
            found[key] = renamed(value, old, new) if key in ("did", "then", *COMBINATORS) else value
    return found


def _mapping(value: Any) -> Plain:
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[Plain]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _read_goal(form: Plain, number: str) -> Plain:
    items = [_read_item(card, number) for card in _rows(form.get("items"))]
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
    lines = [_read_item(card, number) for card in _rows(form.get("lines"))]
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
        return write_item(_item(item))
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
    """New names by the old ones, and the events by their new names."""
    names: dict[str, str] = {}
    events: Plain = {}
    for form in forms:
        old = str(form.get("was", ""))
        name = str(form.get("name", "")).strip() or old
        while name in events:  # two of one name cannot both be kept
            name = f"{name}_2"
        names[old] = name
        events[name] = json.loads(str(form["kept"])) if form.get("kept") else _read_event(form, types)
    return names, events


def _read_event(form: Plain, types: Mapping[str, FieldType]) -> Plain:
    kinds = form.get("kinds") or []
    kinds = [str(k) for k in ([kinds] if isinstance(kinds, str) else kinds)]
    event: Plain = {"is": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
    where = [_read_condition(c, types.get(str(c.get("field", "")))) for c in _rows(form.get("where"))]
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


def operators_for(kind: FieldType | None) -> tuple[str, ...]:
    """The operators that fit columns of a type, as cards have them; all of them where it is not known."""
    fits: tuple[str, ...] = OPERATORS
    if kind in ("number", "time"):
        fits = tuple(o for o in OPERATORS if o not in TEXT_ONLY)
    elif kind == "boolean":
        fits = tuple(o for o in OPERATORS if o not in TEXT_ONLY and o not in ORDERED and o not in LISTS)
    elif kind == "text":
        fits = tuple(o for o in OPERATORS if o not in ORDERED)
    return ("exists", "missing", *(o for o in fits if o != "exists"))


# --- forms -----------------------------------------------------------------------------------------------------


def nested(pairs: Iterable[tuple[str, str]]) -> Plain:
    """A form's fields as nested data: ``goal.items.0.event`` is ``{"goal": {"items": [{"event": ...}]}}``.

    Numbers are positions, in their order, with or without gaps; a name that ends in ``[]`` is a list of all its values.
    """
    tree: Plain = {}
    for name, value in pairs:
        many = name.endswith("[]")
        path = name.removesuffix("[]").split(".", MOST_PARTS)
        node = tree
        for part in path[:-1]:
            inner = node.setdefault(part, {})
            if not isinstance(inner, dict):
                break
            node = inner
        else:
            if many:
                node.setdefault(path[-1], []).append(value)
            else:
                node[path[-1]] = value
    found: Plain = _with_lists(tree)
    return found


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdecimal() for key in node):
        return [_with_lists(node[key]) for key in sorted(node, key=int)]
    return {key: _with_lists(value) for key, value in node.items()}


# --- one more, one fewer ---------------------------------------------------------------------------------------


def done(document: Plain, what: str, names: Sequence[str], fields: Sequence[str]) -> Plain:
    """A document with a card more or fewer.

    Args:
        what: ``goal.add``, ``goal.items.0.remove``, ``population.add.exclude``, ``events.add``,
            ``events.0.where.add`` and such.
        names: what a new item may speak of, the likeliest first.
        fields: what a new condition may ask of.

    Raises:
        RequestInvalidError: there is nothing of that name to be done.
    """
    section, *path = what.split(".")
    if section == "goal":
        return _goal_done(document, path, names)
    if section == "population":
        return _population_done(document, path, names)
    if section == "events":
        return _events_done(document, path, fields)
    raise _unknown(what)


def _unknown(what: str) -> RequestInvalidError:
    return RequestInvalidError(f"There is no {what[:60]!r} to do.", "open the page again.")


def _position(path: Sequence[str], place: int, length: int) -> int:
    """A position in a list that there is."""
    text = path[place] if len(path) > place else ""
    if not text.isdecimal() or int(text) >= length:
        raise _unknown(".".join(path))
    return int(text)


def _goal_done(document: Plain, path: Sequence[str], names: Sequence[str]) -> Plain:
    goal = document.get("goal")
    combinator, items, windows = _parted(goal if isinstance(goal, dict) else {}, ("within", "from"))
    if path == ["add"]:
        used = _names_in(items)
        items = [*items, next((n for n in names if n not in used), names[0])]
        return document | {"goal": {combinator: items} | windows}
    place = _position(path, 1, len(items))
    if path[2:] == ["remove"]:
        left = items[:place] + items[place + 1 :]
        return document | {"goal": {combinator: left} | windows}
    if path[2:] != ["define"]:
        raise _unknown(".".join(path))
    item = items[place]
    kind = _first_name(item)
    name = _free_name(f"chosen_{kind}", document)
    events = dict(document.get("events") or {}) | {name: {"is": kind}}
    changed = [*items[:place], renamed(item, kind, name), *items[place + 1 :]]
    return document | {"events": events, "goal": {combinator: changed} | windows}


def _first_name(item: Any) -> str:
    names = sorted(_names_in(item))
    return names[0] if names else ""


def _free_name(wanted: str, document: Plain) -> str:
    taken = set(document.get("events") or {})
    plain = "".join(c if c.isalnum() else "_" for c in wanted).strip("_") or "event"
    return next(n for n in (plain, *(f"{plain}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def _population_done(document: Plain, path: Sequence[str], names: Sequence[str]) -> Plain:
    eligible = document.get("eligible")
    combinator, lines, _ = _parted(eligible if isinstance(eligible, dict) else {}, ())
    if path[:1] == ["add"]:
        new: Plain = {"did": names[0], "within": "90d"} | ({"at_most": 0} if path[1:] == ["exclude"] else {})
        return document | {"eligible": {combinator: [*lines, new]}}
    place = _position(path, 1, len(lines))
    if path[2:] != ["remove"]:
        raise _unknown(".".join(path))
    left = lines[:place] + lines[place + 1 :]
    if left:
        return document | {"eligible": {combinator: left}}
    return {key: value for key, value in document.items() if key != "eligible"}


def _events_done(document: Plain, path: Sequence[str], fields: Sequence[str]) -> Plain:
    events = dict(document.get("events") or {})
    if path == ["add"]:
        return document | {"events": events | {_free_name("my_event", document): {}}}
    name = list(events)[_position(path, 0, len(events))]
    if path[1:] == ["remove"]:
        return document | {"events": {n: e for n, e in events.items() if n != name}}
    event = dict(events[name]) if isinstance(events[name], dict) else {}
    conditions = [_written(c) for c in read_where(event.get("where"))]
    if path[1:] == ["where", "add"]:
        conditions.append({fields[0] if fields else "value": {"exists": True}})
    elif path[1:2] == ["where"] and path[3:] == ["remove"]:
        del conditions[_position(path, 2, len(conditions))]
    else:
        raise _unknown(".".join(path))
    event.pop("where", None)
    return document | {"events": events | {name: event | ({"where": conditions} if conditions else {})}}


def _written(condition: Any) -> Plain:
    told = condition.model_dump() if isinstance(condition, Condition) else condition
    value = told["value"]
    return {told["field"]: {told["operator"]: list(value) if isinstance(value, tuple) else value}}


def form_of(document: Plain) -> tuple[Any, ...]:
    """What decides which fields the cards have: where this stays the same, they need not be drawn anew."""
    goal, population = goal_of(document), population_of(document)
    items = [(i.editable, i.event, i.count, i.field, i.side) for i in (*goal.items, *population.lines)]
    events = [
        (e.name, e.kinds, e.used, bool(e.kept), [(c.field, c.operator) for c in e.where]) for e in events_of(document)
    ]
    return goal.will, goal.how, len(goal.items), population.how, items, events


# --- sources ---------------------------------------------------------------------------------------------------

ROLES = ("profile", "at", "event", "value", "id")


def sources_of(section: Plain) -> list[Plain]:
    """The sources of a data section, each as a mapping with its own columns and kind."""
    events = section.get("events") or []
    many = events if isinstance(events, list) else [events]
    found = [{"path": s} if isinstance(s, str) else dict(s) for s in many if isinstance(s, str | dict)]
    usual = {key: section[key] for key in ("columns", "kind") if section.get(key)}
    return [usual | source for source in found]


def with_sources(section: Plain, form: Plain) -> Plain:
    """A data section with its sources as a form has them; ``add`` are paths of further ones.

    A lone source has its columns in the section, several have each their own.
    """
    before, changed = sources_of(section), dict(section)
    sources = []
    for source, card in zip_longest(before, _rows(form.get("sources"))[: len(before)]):
        if card is None:
            sources.append(source)
            continue
        if card.get("remove"):
            continue
        columns = {role: name for role in ROLES if (name := str(_mapping(card.get("columns")).get(role, "")).strip())}
        kind = str(card.get("kind", "")).strip()
        kept = {key: value for key, value in source.items() if key not in ("columns", "kind")}
        for key in ("path", "database", "table"):
            if isinstance(kept.get(key), str):
                kept[key] = str(card.get(key, "")).strip() or kept[key]
        sources.append(kept | ({"columns": columns} if columns else {}) | ({"kind": kind} if kind else {}))
    added = form.get("add") or []
    texts = [text.strip() for text in ([added] if isinstance(added, str) else added)]
    sources += [database_at(text) or {"path": text} for text in texts if text]
    for key in ("columns", "kind"):
        changed.pop(key, None)
    if len(sources) == 1:
        changed |= {key: sources[0].pop(key) for key in ("columns", "kind") if key in sources[0]}
    if not before:
        changed.setdefault("folder", "..")
    changed["events"] = [s["path"] if set(s) == {"path"} else s for s in sources]
    if len(sources) == 1 and isinstance(changed["events"][0], str):
        changed["events"] = changed["events"][0]
    return changed
