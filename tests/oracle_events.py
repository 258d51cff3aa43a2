"""Slow and obvious forms of what the engine does with events, and its events as plain rows."""

from __future__ import annotations

import hashlib
import math
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from propend.conditions import Condition
from propend.engines import connect
from propend.events import EventLog, EventRequest, OpenedEvents
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
    elif isinstance(value, bool | int | float):
        number = float(value)
    else:
        return None
    return number if math.isfinite(number) else None


def as_text(value: Any) -> str:
    """The text a field's value is compared as."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 9e15:
        return str(int(value))
    return str(value)


def equals(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value == int(wanted)
        return as_text(value).lower() == str(wanted).lower()
    if isinstance(wanted, int | float):
        return as_number(value) == float(wanted)
    if isinstance(value, datetime) and moment(wanted):
        return value == moment(wanted)
    return as_text(value) == wanted


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
    elif isinstance(value, datetime) and moment(bound):
        left, right = value, moment(bound)
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
            rows.append(
                (part.profile_ids[owner], int(part.at[i]), log.kinds[part.kind[i]], int(part.bits[i]), value)
                + (tuple(numbers), tuple(texts))
            )
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
