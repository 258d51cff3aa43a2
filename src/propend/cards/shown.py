"""A document as cards: its goal, its eligibility and its named events, finished or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from propend.conditions import Condition, read_where
from propend.goal import AGGREGATES, BOUNDS, COMBINATORS, Group, Item, read_days, read_measured
from propend.sentence import number_text, write_item_phrase

Plain = dict[str, Any]
HOW_OF = {"all_of": ("will", "all"), "any_of": ("will", "any"), "none_of": ("not", "any"), "not_all_of": ("not", "all")}
"""Whether a goal is that something happens, and whether all or any of it."""
COMBINATOR_OF = {how: combinator for combinator, how in HOW_OF.items()}


@dataclass(frozen=True)
class ItemCard:
    """One item of a goal or of an eligibility.

    Attributes:
        plain: the item as it stands in the document, as JSON.
        event: its event; empty where the card cannot be edited.
        count: ``at_least``, ``at_most``, ``exactly`` or ``first``, or an aggregate of ``field``.
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


def goal_of(document: Plain) -> GoalCards:
    """The goal's cards."""
    goal = document.get("goal")
    combinator, items, rest = parted(goal if isinstance(goal, dict) else {}, ("within", "from"))
    will, how = HOW_OF[combinator]
    cards = tuple(_item_card(item, ahead=True) for item in items)
    return GoalCards(will, how, cards, days_text(rest.get("within")), days_text(rest.get("from")))


def population_of(document: Plain) -> PopulationCards:
    """The eligibility's cards."""
    eligible = document.get("eligible")
    if not isinstance(eligible, dict):
        return PopulationCards()
    combinator, items, _ = parted(eligible, ())
    if combinator not in ("all_of", "any_of"):
        return PopulationCards(phrase=_phrase(eligible) or json.dumps(eligible))
    lines = tuple(_item_card(item, ahead=False) for item in items)
    return PopulationCards("any" if combinator == "any_of" else "all", lines)


def events_of(document: Plain) -> tuple[EventCard, ...]:
    """A card for each named event."""
    events = document.get("events")
    return tuple(_event_card(str(n), e, document) for n, e in events.items()) if isinstance(events, dict) else ()


def parted(group: Plain, windows: Sequence[str]) -> tuple[str, list[Any], Plain]:
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


def item_of(plain: Any) -> Item:
    """An item of plain data.

    Raises:
        ValidationError: it is none.
    """
    return Group.model_validate({"all_of": [plain]}).items[0]


def _phrase(plain: Any) -> str:
    try:
        return write_item_phrase(item_of(plain))
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
        if name in names_in(document.get(section)):
            yield words


def names_in(part: Any) -> set[str]:
    """Names of events anywhere in a goal or an eligibility."""
    if isinstance(part, str):
        return {part}
    if isinstance(part, list | tuple):
        return set().union(*map(names_in, part))
    if not isinstance(part, dict):
        return set()
    found: set[str] = set()
    for key, value in part.items():
        if key in AGGREGATES:
            found |= {measured[0]} if (measured := read_measured(value)) else set()
        elif key in ("did", "then", *COMBINATORS):
            found |= names_in(value)
    return found


def form_of(document: Plain) -> tuple[Any, ...]:
    """What decides which fields the cards have: where this stays the same, they need not be drawn anew."""
    goal, population = goal_of(document), population_of(document)
    items = [(i.editable, i.event, i.count, i.field, i.side) for i in (*goal.items, *population.lines)]
    events = [
        (e.name, e.kinds, e.used, bool(e.kept), [(c.field, c.operator) for c in e.where]) for e in events_of(document)
    ]
    return goal.will, goal.how, len(goal.items), population.how, items, events
