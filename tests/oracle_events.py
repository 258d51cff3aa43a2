"""Slow and obvious forms of what the engine does with events, and its events as plain rows."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from propend.conditions import Condition
from propend.engines import connect
from propend.events import DAY_US, EventLog, EventRequest, OpenedEvents
from propend.goal import NamedEvent
from propend.instance import Data

ROOT = Path(__file__).parents[1]
NUMBER = re.compile(r"\s*[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][+-]?\d+(_\d+)*)?\s*", re.ASCII)


# --- conditions ---------------------------------------------------------------------------------------------


def missing(value: Any) -> bool:
    """Null, an empty text, a number that is not finite."""
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def as_number(value: Any) -> float | None:
    """The number a field's value reads as."""
    if isinstance(value, str):
        number = float(value) if NUMBER.fullmatch(value) else math.nan
    elif isinstance(value, bool | int | float | Decimal):
        number = float(value)
    else:
        return None
    return number if math.isfinite(number) else None


def as_text(value: Any) -> str:
    """The text a field's value is compared as."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float | Decimal) and value == value // 1 and abs(value) < 9e15:
        return str(int(value))
    return str(value)


def equals(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool):
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return value == int(wanted)
        return as_text(value).lower() == str(wanted).lower()
    if isinstance(wanted, int | float):
        return as_number(value) == float(wanted)
    if isinstance(value, date) and moment(wanted):
        return as_moment(value) == moment(wanted)
    return as_text(value) == wanted


def as_moment(day: date) -> datetime:
    return day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)


def moment(text: str) -> datetime | None:
    """A time without zone in ISO form."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found if found.tzinfo is None else None


def below(value: Any, bound: Any, or_equal: bool) -> bool | None:
    """Whether the field's value is below the bound; None where the two cannot be compared."""
    left: Any = as_text(value)
    right: Any = bound
    if not isinstance(bound, str):
        left, right = as_number(value), float(bound)
        if left is None:
            return None
    elif isinstance(value, date) and moment(bound):
        left, right = as_moment(value), moment(bound)
    return bool(left <= right if or_equal else left < right)


def matches(condition: Condition, row: dict[str, Any]) -> bool:
    """Whether a condition holds of an event, one value at a time."""
    value, operator, wanted = row.get(condition.field), condition.operator, condition.value
    if operator == "exists":
        return missing(value) != wanted
    if missing(value):
        return False
    if operator in ("eq", "in", "ne", "not_in"):
        found = any(equals(value, w) for w in (wanted if isinstance(wanted, tuple) else (wanted,)))
        return found if operator in ("eq", "in") else not found
    if operator == "between":
        return below(value, wanted[0], False) is False and below(value, wanted[1], True) is True
    if operator in ("lt", "lte"):
        return below(value, wanted, operator == "lte") is True
    if operator in ("gt", "gte"):
        return below(value, wanted, operator == "gt") is False
    text = as_text(value)
    return {
        "starts_with": lambda: text.startswith(wanted),
        "ends_with": lambda: text.endswith(wanted),
        "contains": lambda: wanted in text,
        "matches": lambda: re.search(wanted, text, re.ASCII) is not None,
    }[operator]()


# --- events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raw:
    """A row as it is in the data.

    Attributes:
        at: an ISO time with or without zone, any other text, or nothing.
        fields: further columns.
    """

    profile: str | None
    at: str | None
    kind: str | None = None
    value: float | None = None
    id: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Any]:
        """What conditions and fields may name; the value is in a column ``amount``."""
        return self.fields | {"amount": self.value}


def canonical(
    rows: Sequence[Raw], request: EventRequest, now: datetime
) -> tuple[list[tuple[Any, ...]], dict[str, int]]:
    """What an engine delivers of raw rows, as ``rows_of`` shows it, and the rows set aside by reason."""
    judged = [(_reason(row, request, now), row) for row in rows]
    seen: set[str] = set()
    usable = [(reason, row) for reason, row in judged if reason in LATE_REASONS]
    for reason, row in sorted(usable, key=lambda pair: (_order(pair[1], request), LATE_REASONS.index(pair[0]))):
        if row.id and row.id in seen:
            judged.remove((reason, row))
            judged.append(("duplicate", row))
        seen.add(row.id or "")
    kept = sorted(
        (row for reason, row in judged if not reason),
        key=lambda row: (key_of(row.profile or ""), *_order(row, request)),
    )
    counts = Counter(reason for reason, _ in judged if reason)
    return [_as_delivered(row, request) for row in kept], dict(counts)


LATE_REASONS = ("", "excluded", "after_as_of")
"""Why a row is left out that has yet a say in which row of an id comes first."""


def _reason(row: Raw, request: EventRequest, now: datetime) -> str:
    if not (row.profile or "").strip(" \t\r\n"):
        return "no_profile"
    if not (row.at or "").strip(" \t\r\n"):
        return "no_time"
    at = _local(row, request)
    if at is None:
        return "unparsable_time"
    if at < 0:
        return "before_1970"
    if at > local_us(now, request.time_zone) + DAY_US:
        return "in_the_future"
    if any(_is(event, row) for event in request.exclude):
        return "excluded"
    after = request.as_of and at >= local_us(datetime(request.as_of.year, request.as_of.month, request.as_of.day))
    return "after_as_of" if after else ""


def _local(row: Raw, request: EventRequest) -> int | None:
    try:
        return local_us(datetime.fromisoformat((row.at or "").strip()), request.time_zone)
    except ValueError:
        return None


def _is(event: NamedEvent, row: Raw) -> bool:
    kind = row.kind or "(none)"
    of_kind = not event.kinds or kind in event.kinds
    return of_kind and all(matches(c, row.columns) for c in event.where)


def _bits(row: Raw, request: EventRequest) -> int:
    return sum(1 << i for i, s in enumerate(request.selectors) if _is(s.event, row))


def _order(row: Raw, request: EventRequest) -> tuple[Any, ...]:
    texts = [(1, row.columns[t]) if row.columns.get(t) else (2, "") for t in request.text_fields]
    numbers = [_empty_last(row.columns.get(n)) for n in request.number_fields]
    kind, value = row.kind or "(none)", _empty_last(row.value)
    return _local(row, request), row.profile, kind, value, _bits(row, request), numbers, texts


def _empty_last(value: Any) -> tuple[bool, Any]:
    return (True, 0) if value is None else (False, value)


def _as_delivered(row: Raw, request: EventRequest) -> tuple[Any, ...]:
    numbers = tuple(row.columns.get(n) for n in request.number_fields)
    texts = tuple(row.columns.get(t) or None for t in request.text_fields)
    kind = row.kind or "(none)"
    return row.profile, _local(row, request), kind, _bits(row, request), row.value, numbers, texts


def key_of(profile: str) -> int:
    """The first eight bytes of the MD5 of the id."""
    return int.from_bytes(hashlib.md5(profile.encode()).digest()[:8], "big")


def local_us(moment: datetime, zone: str = "UTC") -> int:
    """Microseconds on the zone's wall clock; a time without zone is already on it."""
    wall = moment if moment.tzinfo is None else moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return (wall - datetime(1970, 1, 1)) // (datetime(1970, 1, 1, 0, 0, 0, 1) - datetime(1970, 1, 1))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


def rows_of(log: EventLog) -> list[tuple[Any, ...]]:
    """Every event in order as (profile, local time, kind, bits, value, numbers, texts), empty as None."""
    rows: list[tuple[Any, ...]] = []
    for part in log.partitions():
        owners = np.repeat(np.arange(part.profiles), np.diff(part.offsets))
        for i, owner in enumerate(owners):
            texts = [None if c < 0 else log.vocabularies[j][c] for j, c in enumerate(part.texts[:, i])]
            numbers = [None if math.isnan(n) else float(n) for n in part.numbers[:, i]]
            value = None if math.isnan(part.value[i]) else float(part.value[i])
            who, at, kind = part.profile_ids[owner], int(part.at[i]), log.kinds[part.kind[i]]
            rows.append((who, at, kind, int(part.bits[i]), value, tuple(numbers), tuple(texts)))
    return rows


def simple_rows(log: EventLog) -> list[tuple[str, str, str, float | None]]:
    """Every event as (profile, local time, kind, value), in the order of profile and time."""
    found = [(p, _iso(at), kind, value) for p, at, kind, _, value, _, _ in rows_of(log)]
    return sorted(found, key=lambda row: (row[0], row[1], row[2], row[3] is None, row[3] or 0))


def _iso(at: int) -> str:
    return str(np.datetime64(at, "us").astype(datetime))


def load(data: dict[str, Any], folder: Path, tables: Any = None, **request: Any) -> EventLog:
    """A log whose partitions are kept, so that it outlives its session."""
    with connect() as session:
        log = session.load(Data(**data), folder, EventRequest(request.pop("selectors", ()), **request), tables)
        kept = list(log.partitions())
    return Kept(log, kept)  # type: ignore[return-value]


def look(data: dict[str, Any], folder: Path, tables: Any = None) -> OpenedEvents:
    with connect() as session:
        return session.open(Data(**data), folder, tables)


class Kept:
    """A log after its session: everything but its partitions is plain data anyway."""

    def __init__(self, log: EventLog, kept: list[Any]) -> None:
        self._log, self._kept = log, kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def partitions(self) -> Any:
        return iter(self._kept)


def named(where: Any = (), kinds: Any = ()) -> NamedEvent:
    return NamedEvent.model_validate({"is": kinds, "where": where})


def shared_data(relative: str) -> Path:
    """A file of the shared real data, or the test is skipped."""
    folder = Path(os.environ.get("PROPEND_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / relative).exists():
        pytest.skip(f"needs {relative} in $PROPEND_SHARED_DATA or in ../shared/data")
    return folder
