"""Does an instance fit its data? Every name it uses is looked up among the kinds and columns there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from propend.conditions import ORDERED, TEXT_ONLY, Condition
from propend.document import nearest
from propend.errors import Mistake, NoBehaviourError, NoEventDataError, NoInputDataError
from propend.events import MAX_SELECTORS, OpenedEvents
from propend.goal import AGGREGATES, ANYTHING, COMBINATORS, NamedEvent, read_measured
from propend.instance import Data, Instance

MOST_LISTED = 8
"""Kinds that a message lists."""


def binding_mistakes(document: dict[str, Any], opened: OpenedEvents) -> list[Mistake]:
    """Names and types in a document that the data do not bear out.

    Works on the plain document, so that it also finds mistakes in one whose form is not yet valid.
    """
    named, mistakes = _named_events(document)
    for name, event in named.items():
        mistakes += _kind_mistakes(f"events.{name}.is", event, opened)
        for condition in event.where:
            mistakes += _field_mistakes(f"events.{name}.where.{condition.field}", condition, opened)
    if len(named) > MAX_SELECTORS:
        mistakes.append(Mistake("events", f"{len(named)} named events; at most {MAX_SELECTORS} are possible"))
    for place, name in _references(document):
        if name != ANYTHING and name not in named and name not in opened.kinds:
            mistakes.append(_unknown_event(place, name, named, opened))
    for place, aggregate, path in _measures(document):
        mistakes += _measure_mistakes(place, aggregate, path, opened)
    for field in _wanted_fields(document):
        if field not in opened.fields:
            mistakes.append(_unknown_field("data.fields", field, opened))
    return list(dict.fromkeys(mistakes))


def _named_events(document: dict[str, Any]) -> tuple[dict[str, NamedEvent], list[Mistake]]:
    found: dict[str, NamedEvent] = {}
    events = document.get("events")
    for name, plain in events.items() if isinstance(events, dict) else ():
        try:
            found[str(name)] = NamedEvent.model_validate(plain)
        except ValidationError:
            found[str(name)] = NamedEvent()  # its form is already listed as a mistake; the name is known
    return found, []


def _kind_mistakes(place: str, event: NamedEvent, opened: OpenedEvents) -> list[Mistake]:
    kinds, found = opened.kinds, []
    for kind in (k for k in event.kinds if k not in kinds):
        near = nearest(kind, kinds)
        there = f"0 of {sum(kinds.values()):,} events; kinds there are: {_listing(kinds, near)}"
        found.append(Mistake(place, f"no event is of kind {kind!r} ({there})", near))
    return found


def _listing(kinds: Mapping[str, int], near: str) -> str:
    """The most frequent kinds and the nearest one, each with its events."""
    shown = dict.fromkeys([*list(kinds)[:MOST_LISTED], *([near] if near in kinds else [])])
    more = len(kinds) - len(shown)
    return ", ".join(_counted(kinds, k) for k in shown) + (f" and {more} more" if more > 0 else "")


def _counted(kinds: Mapping[str, int], kind: str) -> str:
    return f"{kind} ({kinds[kind]:,})"


def _unknown_event(place: str, name: str, named: dict[str, NamedEvent], opened: OpenedEvents) -> Mistake:
    near, kinds = nearest(name, [*named, *opened.kinds]), opened.kinds
    known = ", ".join([*named, *([_counted(kinds, near)] if near in kinds else [])]) if named else _listing(kinds, near)
    return Mistake(place, f"{name!r} is neither a named event nor a kind of event; there are: {known}", near)


def _unknown_field(place: str, field: str, opened: OpenedEvents) -> Mistake:
    columns = ", ".join(f"{f.name} ({f.type})" for f in list(opened.fields.values())[:12])
    return Mistake(place, f"there is no column {field!r}; columns are: {columns}", nearest(field, opened.fields))


def _field_mistakes(place: str, condition: Condition, opened: OpenedEvents) -> list[Mistake]:
    field = opened.fields.get(condition.field)
    if field is None:
        return [_unknown_field(place, condition.field, opened)]
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    numeric = any(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if condition.operator in TEXT_ONLY and field.type in ("number", "boolean", "time"):
        return [Mistake(place, f"{condition.operator} is for texts; column {field.name!r} is a {field.type}")]
    if condition.operator in ORDERED and field.type == "boolean":
        return [Mistake(place, f"{condition.operator} does not fit column {field.name!r}, which is true or false")]
    if condition.operator in ORDERED and field.type == "number" and not numeric:
        return [Mistake(place, f"{condition.operator} on the number {field.name!r} needs a number")]
    if condition.operator in ORDERED and field.type == "text" and numeric:
        return [Mistake(place, f"column {field.name!r} holds texts; {condition.operator} with a number needs numbers")]
    return []


def _measure_mistakes(place: str, aggregate: str, path: Any, opened: OpenedEvents) -> list[Mistake]:
    measured = read_measured(path)
    if measured is None:
        return []  # its form is already listed as a mistake
    field = measured[1]
    if field not in opened.fields:
        return [_unknown_field(place, field, opened)]
    if aggregate != "count_distinct" and opened.fields[field].type != "number":
        kind = opened.fields[field].type
        return [Mistake(place, f"{aggregate} needs a column of numbers; {field!r} holds {kind} values")]
    return []


def _wanted_fields(document: dict[str, Any]) -> tuple[str, ...]:
    try:
        return Data.model_validate(document.get("data") or {}).fields or ()
    except ValidationError:
        return ()


def _references(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for section in ("goal", "eligible"):
        for place, item in _items(document.get(section), section):
            if isinstance(item, str):
                yield place, item
            elif isinstance(item, dict):
                yield from ((place, n) for n in _names_in(item))
    for section in ("exits", "exclude"):
        names = document.get(section)
        for i, name in enumerate(names if isinstance(names, list | tuple) else ()):
            if isinstance(name, str):
                yield f"{section}[{i + 1}]", name


def _names_in(item: dict[str, Any]) -> Iterator[str]:
    if isinstance(item.get("did"), str):
        yield item["did"]
    if isinstance(item.get("then"), list | tuple):
        yield from (n for n in item["then"] if isinstance(n, str))
    for aggregate in AGGREGATES:
        measured = read_measured(item.get(aggregate))
        if measured:
            yield measured[0]


def _items(part: Any, place: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every item of a group and of the groups in it, with its place."""
    if isinstance(part, str) or depth > 50:
        yield place, part
    elif isinstance(part, dict):
        groups = [c for c in COMBINATORS if c in part]
        if not groups:
            yield place, part
        for combinator in groups:
            items = part[combinator]
            for i, item in enumerate(items if isinstance(items, list | tuple) else [items]):
                yield from _items(item, f"{place}.{combinator}[{i + 1}]", depth + 1)


def _measures(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for section in ("goal", "eligible"):
        for place, item in _items(document.get(section), section):
            if isinstance(item, dict):
                yield from ((place, a, item[a]) for a in AGGREGATES if a in item)


def group_mistakes(instance: Instance, opened: OpenedEvents, attributes: Sequence[str]) -> list[Mistake]:
    """Names under ``options.fairness`` that are no attribute nor column, or that the model would see all the same.

    Args:
        attributes: names of the columns of the attribute tables.
    """
    mistakes = []
    seen = {c.field: name for name, event in instance.events.items() for c in event.where}
    for i, name in enumerate(instance.options.fairness or ()):
        place, field = f"options.fairness[{i + 1}]", opened.fields.get(name)
        if name not in attributes and field is None:
            known = [*attributes, *opened.fields]
            problem = f"there is no attribute or column {name!r}; there are: {', '.join(known[:12]) or 'none'}"
            mistakes.append(Mistake(place, problem, nearest(name, known)))
        elif name not in attributes and field is not None and field.type == "time":
            mistakes.append(Mistake(place, f"column {name!r} holds times; groups need texts or numbers"))
        elif name in seen:
            problem = (
                f"the named event {seen[name]!r} has a condition on {name!r}: the model would see the groups by it"
            )
            mistakes.append(Mistake(place, problem))
    return mistakes


def consent_mistakes(instance: Instance, opened: OpenedEvents) -> list[Mistake]:
    """A column of consent that the events do not have, or that holds times; those of attributes are looked at later."""
    consent = instance.data.consent
    if consent is None:
        return []
    place = "data.consent.column"
    if consent.source == "attributes":
        problem = "consent is said by attributes, and there are none; `in: events` looks at the events"
        return [] if instance.data.attributes else [Mistake(place, problem)]
    field = opened.fields.get(consent.column)
    if field is None:
        return [_unknown_field(place, consent.column, opened)]
    if field.type == "time":
        return [Mistake(place, f"column {field.name!r} holds times; consent needs texts, numbers or truth")]
    return []


def check_rows(instance: Instance, opened: OpenedEvents) -> None:
    """There must be rows before names can be looked up among them.

    Raises:
        NoInputDataError: the sources of events are empty, and there are no attributes.
        NoEventDataError: they are empty, but there are attributes.
    """
    if not opened.kinds:
        names = ", ".join(repr(s.path) for s in opened.sources[:5])
        kind = NoEventDataError if instance.data.attributes else NoInputDataError
        raise kind(f"There are no rows in {names}.", "export the data again, or name another source.", read=0)


def check_behaviour(instance: Instance, opened: OpenedEvents) -> None:
    """At least something besides the bare outcome must be known of a profile (spec IN-14).

    A log of one kind is enough when its events carry values or fields, or when the instance names its
    events: past purchases do predict purchases. The bare times of the outcome alone are refused.

    Raises:
        NoBehaviourError: the outcome is the only kind, nothing else is known and no event is named.
    """
    only_kind = len(opened.kinds) == 1 and set(instance.goal.group.events) <= {*opened.kinds, ANYTHING}
    if only_kind and not instance.events and not opened.fields and not instance.data.attributes:
        kind = next(iter(opened.kinds))
        raise NoBehaviourError(
            f"Every one of {opened.kinds[kind]:,} events is {kind!r}, the goal itself, and nothing else is known.",
            "add a source with other behaviour (visits, searches, calls), or name the event under `events:` "
            "to predict it from its own past alone.",
            kind=kind,
        )
