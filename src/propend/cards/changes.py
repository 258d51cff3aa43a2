"""One card more, or one fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from propend.cards.read import renamed
from propend.cards.shown import Plain, names_in, parted
from propend.conditions import Condition, read_where
from propend.errors import RequestInvalidError


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
    combinator, items, windows = parted(goal if isinstance(goal, dict) else {}, ("within", "from"))
    if path == ["add"]:
        used = names_in(items)
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
    changed = [*items[:place], renamed(item, {kind: name}), *items[place + 1 :]]
    return document | {"events": events, "goal": {combinator: changed} | windows}


def _first_name(item: Any) -> str:
    names = sorted(names_in(item))
    return names[0] if names else ""


def _free_name(wanted: str, document: Plain) -> str:
    taken = set(document.get("events") or {})
    plain = "".join(c if c.isalnum() else "_" for c in wanted).strip("_") or "event"
    return next(n for n in (plain, *(f"{plain}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def _population_done(document: Plain, path: Sequence[str], names: Sequence[str]) -> Plain:
    eligible = document.get("eligible")
    combinator, lines, _ = parted(eligible if isinstance(eligible, dict) else {}, ())
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
