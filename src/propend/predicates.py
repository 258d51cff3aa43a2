"""Typed conditions as engine expressions: the only place where a value of a document meets SQL.

What a condition means, on every engine:

- A field is *missing* where it is null, an empty text, or a number that is not finite. ``exists: false``
  matches only missing fields; every other operator, ``ne`` and ``not_in`` too, only fields that are there.
- A number in the condition compares numbers: the field is read as a double, texts included; what does not
  read as a number equals none. A text compares texts exactly, by code point; on a field of times it compares
  times, if it is an ISO date or time (with a zone, the instant in UTC). True and false compare with true,
  false, 1 and 0.
- ``matches`` finds the pattern anywhere in the text, in RE2's syntax.
- A field that an event has several of (the SKUs of an order) satisfies a condition where any of them does; ``ne`` and
  ``not_in`` where there are some and none of them is one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from propend.conditions import Condition
from propend.errors import ConfigurationError, Mistake
from propend.goal import NamedEvent

FieldType = Literal["number", "text", "boolean", "time"]

_SYMBOLS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_TEXT_FUNCTIONS = {
    "starts_with": "starts_with",
    "ends_with": "suffix",
    "contains": "contains",
    "matches": "regexp_matches",
}


@dataclass(frozen=True)
class Column:
    """A field as expressions, each null where the field is missing or cannot be read so.

    Attributes:
        type: what the field holds.
        text: as text: whole numbers without decimals, booleans as ``true`` and ``false``.
        number: as a finite double.
        time: as a timestamp without zone.
        items: of a field that an event may have several of, all its texts as a list; empty else. The other forms are
            then those of the first.
    """

    type: FieldType
    text: str
    number: str
    time: str
    items: str = ""

    @property
    def present(self) -> str:
        native = self.number if self.type == "number" else self.text
        return f"({native} IS NOT NULL)"


MISSING = Column("text", "CAST(NULL AS VARCHAR)", "CAST(NULL AS DOUBLE)", "CAST(NULL AS TIMESTAMP)")
"""A field that a source does not have."""


# --- literals and names -----------------------------------------------------------------------------------


def quote_text(text: str) -> str:
    """A text as a literal.

    Raises:
        ConfigurationError: the text has a NUL character or half of a surrogate pair.
    """
    return "'" + _sound(text).replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """A column or table as a quoted identifier.

    Raises:
        ConfigurationError: the name has a NUL character or half of a surrogate pair.
    """
    return '"' + _sound(name).replace('"', '""') + '"'


def quote_number(number: float) -> str:
    """A number as a double that is exactly the one given."""
    return f"CAST('{float(number)!r}' AS DOUBLE)"


def _sound(text: str) -> str:
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ConfigurationError([Mistake("events", f"{text!r:.80} has a character that no text in data can have")])
    return text


# --- conditions ---------------------------------------------------------------------------------------------


def event_predicate(event: NamedEvent, kind: str, columns: Mapping[str, Column]) -> str:
    """True where an event is of one of the kinds and every condition holds; never null.

    Args:
        event: the named event.
        kind: expression of the event's kind, as text.
        columns: every field the conditions name.
    """
    tests = [f"{kind} IN ({', '.join(map(quote_text, event.kinds))})"] if event.kinds else []
    tests += [condition_predicate(c, columns[c.field]) for c in event.where]
    return f"coalesce({' AND '.join(tests)}, FALSE)" if tests else "TRUE"


def condition_predicate(condition: Condition, column: Column) -> str:
    """True where the condition holds; false or null elsewhere.

    Of a field with several items it holds where it does for any; ``ne`` and ``not_in`` where no item is one of these.
    """
    if column.items:
        return _of_items(condition, column)
    return _RENDERERS[condition.operator](condition.operator, condition.value, column)


_ITEM = "propend_item"
_NONE_IS = {"ne": "eq", "not_in": "in"}


def _of_items(condition: Condition, column: Column) -> str:
    present = f"coalesce(list_count({column.items}) > 0, FALSE)"
    if condition.operator == "exists":
        return present if condition.value else f"(NOT {present})"
    number = f"try_cast({_ITEM} AS DOUBLE)"
    finite = f"(CASE WHEN isfinite({number}) THEN {number} END)"
    item = Column(column.type, _ITEM, finite, f"try_cast({_ITEM} AS TIMESTAMP)")
    operator = _NONE_IS.get(condition.operator, condition.operator)
    test = _RENDERERS[operator](operator, condition.value, item)
    found = f"coalesce(list_bool_or([coalesce({test}, FALSE) for {_ITEM} in {column.items}]), FALSE)"
    return f"({present} AND NOT {found})" if condition.operator in _NONE_IS else found


def _exists(_: str, value: Any, column: Column) -> str:
    return column.present if value else f"(NOT {column.present})"


def _equal(_: str, value: Any, column: Column) -> str:
    return f"({_one_of([value], column)})"


def _unequal(_: str, value: Any, column: Column) -> str:
    return f"({column.present} AND NOT coalesce({_one_of([value], column)}, FALSE))"


def _in(_: str, values: Any, column: Column) -> str:
    return f"({_one_of(values, column)})"


def _not_in(_: str, values: Any, column: Column) -> str:
    return f"({column.present} AND NOT coalesce({_one_of(values, column)}, FALSE))"


def _one_of(values: Sequence[Any], column: Column) -> str:
    """The field equals one of the values; each alternative is false, not null, where it cannot be read so."""
    booleans = [v for v in values if isinstance(v, bool)]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    texts = [v for v in values if isinstance(v, str)]
    tests = [_is_boolean(v, column) for v in dict.fromkeys(booleans)]
    if numbers:
        tests.append(f"{column.number} IN ({', '.join(quote_number(v) for v in numbers)})")
    moments = [m for m in map(read_moment, texts) if m] if column.type == "time" else []
    if moments:
        tests.append(f"{column.time} IN ({', '.join(moments)})")
    plain = [t for t in texts if column.type != "time" or not read_moment(t)]
    if plain:
        tests.append(f"{column.text} IN ({', '.join(map(quote_text, plain))})")
    return " OR ".join(f"coalesce({t}, FALSE)" for t in tests)


def _is_boolean(value: bool, column: Column) -> str:
    if column.type == "number":
        return f"{column.number} = {quote_number(value)}"
    return f"lower({column.text}) = '{str(value).lower()}'"


def _compare(operator: str, value: Any, column: Column) -> str:
    symbol = _SYMBOLS[operator]
    if not isinstance(value, str):
        return f"({column.number} {symbol} {quote_number(value)})"
    moment = read_moment(value) if column.type == "time" else ""
    return f"({column.time} {symbol} {moment})" if moment else f"({column.text} {symbol} {quote_text(value)})"


def _between(_: str, value: Any, column: Column) -> str:
    return f"({_compare('gte', value[0], column)} AND {_compare('lte', value[1], column)})"


def _on_text(operator: str, value: Any, column: Column) -> str:
    return f"{_TEXT_FUNCTIONS[operator]}({column.text}, {quote_text(value)})"


_RENDERERS: dict[str, Callable[[str, Any, Column], str]] = {
    "exists": _exists, "eq": _equal, "ne": _unequal, "in": _in, "not_in": _not_in, "between": _between,
    "gt": _compare, "gte": _compare, "lt": _compare, "lte": _compare,
    "starts_with": _on_text, "ends_with": _on_text, "contains": _on_text, "matches": _on_text,
}  # fmt: skip


def read_moment(text: str) -> str:
    """An ISO date or time as a timestamp literal, or an empty text; one with a zone as its time in UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return ""
    plain = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return f"CAST('{plain.isoformat(sep=' ')}' AS TIMESTAMP)"
