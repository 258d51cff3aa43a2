"""Events and attributes as somebody gives them, in the columns of the instance's data or by roles, as a table."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from propend.columns import EPOCH_FROM
from propend.engines.lone import AT, ID, KIND, PROFILE, VALUE
from propend.engines.sources import DEFAULT_KIND
from propend.errors import EventsInvalidError
from propend.predicates import FieldType
from propend.store.bearings import SourceColumns
from propend.wall_clock import zone_offsets

Event = Mapping[str, Any]
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_END = (datetime(2200, 1, 1) - _EPOCH) // _MICROSECOND
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_UNITS = ((10**17, 1, 1_000), (10**14, 1, 1), (10**11, 1_000, 1), (EPOCH_FROM, 1_000_000, 1))
"""Numbers from so much on are nanoseconds, microseconds, milliseconds, seconds: times and divided by what."""
_NOTHING = object()


@dataclass(frozen=True)
class Given:
    """How events given one by one are read.

    Attributes:
        sources: how the run read its sources.
        fields: the fields that are needed, with what each holds.
        time_zone: whose wall clock counts; also of times that carry no zone.
    """

    sources: tuple[SourceColumns, ...]
    fields: Mapping[str, FieldType]
    time_zone: str

    def table(self, events: Sequence[Event]) -> pa.Table:
        """Events as ``engines.lone`` reads them, in the order given.

        Raises:
            EventsInvalidError: an event has no time or kind, or a value of no plain form; its place is told.
        """
        sources = [self._source(event, i) for i, event in enumerate(events)]
        with_source = list(zip(events, sources, strict=True))
        moments = [self._at(e, s, i) for i, (e, s) in enumerate(with_source)]
        columns = {
            AT: pa.array(moments, pa.int64()),
            PROFILE: pa.repeat(pa.scalar("one"), len(events)),
            KIND: sound_texts([_kind(e, s, i) for i, (e, s) in enumerate(with_source)], "event"),
            VALUE: _as_numbers([_plain(_of_role(e, s, "value")) for e, s in with_source], "value"),
        }
        ids = [_plain(_of_role(e, s, "id")) for e, s in with_source if "id" in (e if s is None else s.columns)]
        if len(ids) == len(events) and ids:
            columns[ID] = sound_texts(ids, "id")
        for name, kind in self.fields.items():
            columns[name] = _of_values([_of_field(e, s, name, self._several) for e, s in with_source], kind, name)
        return pa.table(columns)

    @property
    def _several(self) -> bool:
        """Whether an event may have several values of a field."""
        return any(s.xdm for s in self.sources)

    def _source(self, event: Event, place: int) -> SourceColumns | None:
        """The source whose columns an event has; None where it has roles only."""
        if not isinstance(event, Mapping):
            raise _invalid(place, "is not a mapping of columns to values")
        fitting = [s for s in self.sources if _look(event, s.columns["at"]) is not _NOTHING]
        if not fitting:
            return None
        known = [sum(_look(event, name) is not _NOTHING for name in s.columns.values()) for s in fitting]
        best = [s for s, n in zip(fitting, known, strict=True) if n == max(known)]
        if len({s.kind for s in best}) > 1 and _look(event, "event") is _NOTHING:
            raise _invalid(place, "fits several sources of events that differ in their kind: give its kind as `event`")
        return best[0]

    def moment(self, value: Any) -> int:
        """Microseconds of the local wall clock since 1970; -1 where it cannot be read, or is not of 1970 to 2199.

        Args:
            value: an ISO 8601 text, a date or time, or a number of seconds, milliseconds, microseconds or nanoseconds
                since 1970, or of the form 20240403.
        """
        try:
            local = self._local(value)
        except (ValueError, OverflowError, TypeError):
            return -1
        return local if 0 <= local < _END else -1

    def _at(self, event: Event, source: SourceColumns | None, place: int) -> int:
        value = _of_role(event, source, "at")
        if value is None or value is _NOTHING or value == "":
            raise _invalid(place, "has no time")
        local = self.moment(value)
        if local < 0:
            raise _invalid(place, "has a time that cannot be read: write it as 2024-04-03T17:30:00, with a zone or not")
        return local

    def _local(self, value: Any) -> int:
        if isinstance(value, str):
            text = value.strip()
            if not _NUMBER.fullmatch(text):
                return self._local(datetime.fromisoformat(text.replace(",", ".").replace("/", "-")))
            value = int(text) if text.lstrip("-").isdigit() else float(text)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                return (value - _EPOCH) // _MICROSECOND
            return self._in_zone((value - _EPOCH_UTC) // _MICROSECOND)
        if isinstance(value, date):
            return (datetime(value.year, value.month, value.day) - _EPOCH) // _MICROSECOND
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(value)
        if 19_000_101 <= value <= 21_001_231:
            return (datetime.strptime(str(int(value)), "%Y%m%d") - _EPOCH) // _MICROSECOND
        factor, divisor = next((unit[1:] for unit in _UNITS if value >= unit[0]), (0, 0))
        if not factor:
            raise ValueError(value)
        return self._in_zone(value * factor // divisor if isinstance(value, int) else round(value * factor / divisor))

    def _in_zone(self, instant: int) -> int:
        table = zone_offsets(self.time_zone)
        place = bisect.bisect_right(table, instant, key=lambda entry: entry[0]) - 1
        return instant + table[max(place, 0)][1]


def attribute_values(
    given: Mapping[str, Any] | None, numbers: Sequence[str], texts: Sequence[str]
) -> tuple[list[float | None], list[str | None]]:
    """The attributes that are needed, in the order asked; none where none are given.

    Raises:
        EventsInvalidError: one that is a number holds something else.
    """
    if given is None:
        return [], []
    found: list[float | None] = []
    for name in numbers:
        value = _plain(_look(given, name))
        try:
            number = None if value in (None, "") else float(value)
        except (TypeError, ValueError, OverflowError):
            raise _wrong(f"the attribute {name!r} is a number, and {type(value).__name__} was given") from None
        found.append(number + 0.0 if number is not None and abs(number) < float("inf") else None)
    plain = sound_texts([_plain(_look(given, name)) for name in texts], "attributes").to_pylist()
    return found, [text or None for text in plain]


# --- looking into an event --------------------------------------------------------------------------------


def _look(event: Event, path: str) -> Any:
    """What stands under a name or a dotted path; ``_NOTHING`` where nothing does."""
    if path in event:
        return event[path]
    head, dot, rest = path.partition(".")
    inner = event.get(head) if dot else None
    if isinstance(inner, list):
        found = [_look(item, rest) for item in inner if isinstance(item, Mapping)]
        return [value for value in found if value is not _NOTHING]
    return _look(inner, rest) if isinstance(inner, Mapping) else _NOTHING


def _of_role(event: Event, source: SourceColumns | None, role: str) -> Any:
    column = source.columns.get(role) if source is not None else None
    found = _look(event, column) if column is not None else _NOTHING
    return event.get(role, _NOTHING) if found is _NOTHING else found


def _kind(event: Event, source: SourceColumns | None, place: int) -> Any:
    found = _of_role(event, source, "event")
    if found is not _NOTHING:
        return _plain(found)
    if source is not None and "event" not in source.columns:
        return source.kind or DEFAULT_KIND
    raise _invalid(place, "has no kind: give it as `event`")


def _of_field(event: Event, source: SourceColumns | None, name: str, several: bool) -> Any:
    found = _look(event, name)
    if several and isinstance(found, list):
        return [_plain(item) for item in found]
    if found is _NOTHING and source is not None and source.columns.get("value") == name:
        found = event.get("value", _NOTHING)
    return _plain(found)


def _plain(value: Any) -> Any:
    """A single value; None where there is none.

    Raises:
        EventsInvalidError: it is a list or a mapping.
    """
    if value is _NOTHING or value is None:
        return None
    if not isinstance(value, str | int | float | Decimal | date):
        raise _wrong(f"a value is of type {type(value).__name__}; texts, numbers, truth values and times are read")
    return value


# --- columns ----------------------------------------------------------------------------------------------


def as_text(value: Any) -> str | None:
    """A value as it stands in a table of texts: whole numbers without decimals."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | Decimal) and abs(float(value)) < 9e15 and value == int(value):
        return str(int(value))
    return str(value)


def sound_texts(values: Sequence[Any], name: str) -> pa.Array:
    """Values as a column of texts, whole numbers without decimals; null where there is none.

    Raises:
        EventsInvalidError: one has half of a surrogate pair.
    """
    try:
        return pa.array([as_text(value) for value in values], pa.string())
    except UnicodeEncodeError:
        raise _wrong(f"a text of {name!r} has half of a surrogate pair, which no text in data can have") from None


def _as_numbers(values: Sequence[Any], name: str) -> pa.Array:
    """Numbers as such; as they are written where any is given as a text."""
    if any(isinstance(v, str | Decimal | date) for v in values):
        return sound_texts(values, name)
    whole = all(v is None or (isinstance(v, int) and abs(v) < 1 << 63) for v in values)
    if whole:
        return pa.array([None if v is None else int(v) for v in values], pa.int64())
    try:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    except OverflowError:
        raise _wrong(f"a number of {name!r} is larger than numbers can be") from None


def _of_values(values: Sequence[Any], kind: FieldType, name: str) -> pa.Array:
    """A field's column; of lists where any event has a list."""
    if not any(isinstance(value, list) for value in values):
        return _FORMS[kind](values, name)
    lists = [value if isinstance(value, list) else [] if value is None else [value] for value in values]
    ends = [0, *itertools.accumulate(map(len, lists))]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), _FORMS[kind]([x for one in lists for x in one], name))


def _as_booleans(values: Sequence[Any], name: str) -> pa.Array:
    if all(v is None or isinstance(v, bool) for v in values):
        return pa.array(values, pa.bool_())
    return sound_texts(values, name)


def _as_times(values: Sequence[Any], name: str) -> pa.Array:
    if all(v is None or isinstance(v, date) for v in values):
        return pa.array([None if v is None else _without_zone(v) for v in values], pa.timestamp("us"))
    return sound_texts(values, name)


def _without_zone(value: date) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


_FORMS: dict[FieldType, Callable[[Sequence[Any], str], pa.Array]] = {
    "number": _as_numbers, "text": sound_texts, "boolean": _as_booleans, "time": _as_times,
}  # fmt: skip


def _invalid(place: int, problem: str) -> EventsInvalidError:
    return EventsInvalidError(
        f"Event {place + 1} {problem}.", "give events in the columns of the data, or by profile, at, event and value.",
        event=place + 1,
    )  # fmt: skip


def _wrong(problem: str) -> EventsInvalidError:
    return EventsInvalidError(f"{problem[0].upper()}{problem[1:]}.", "correct it; nothing was scored.")
