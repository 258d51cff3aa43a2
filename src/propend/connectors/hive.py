"""Partitions as folders name them: ``dt=2024-01-01/country=de/part-0.parquet``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from urllib.parse import unquote

from propend.errors import SourceNotFoundError, SourceUnreadableError

NOTHING = "__HIVE_DEFAULT_PARTITION__"
"""How writers name the folder of rows without a value."""
Partitions = tuple[tuple[str, str], ...]
"""Columns that folders give, in the order of the folders, each with its type in SQL."""
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")
_PARTS_OF_DAYS = ("year", "month", "day")


def is_partition(folder: str) -> bool:
    """Whether a folder's name is a column and its value."""
    return folder.find("=") > 0


def values_of(folders: Sequence[str]) -> dict[str, str | None]:
    """The column and value of each folder that names one; None where it says that there is no value."""
    pairs = (name.split("=", 1) for name in folders if is_partition(name))
    return {column: None if value == NOTHING else unquote(value) for column, value in pairs}


def partitions_of(files: Sequence[Mapping[str, str | None]], place: str) -> Partitions:
    """The columns that the folders of all files give, typed by what is written: days, whole numbers, or texts.

    Args:
        files: ``values_of`` each.
        place: what they are called in messages.

    Raises:
        SourceUnreadableError: the files do not lie in folders of the same columns.
    """
    ways = sorted({tuple(values) for values in files})
    if len(ways) > 1:
        shown = " and ".join("/".join(f"{c}=…" for c in way) or "none" for way in ways[:3])
        raise SourceUnreadableError(
            f"The files of {place!r} lie in folders of different partitions: {shown}.",
            "name each part as a source of its own, or put all files into folders of the same columns.",
            path=place,
        )
    return tuple((column, _type_of([values[column] for values in files])) for column in (ways[0] if ways else ()))


def _type_of(values: Sequence[str | None]) -> str:
    given = [value for value in values if value is not None]
    if given and all(_iso_day(value) for value in given):
        return "DATE"
    return "BIGINT" if given and all(_WHOLE.fullmatch(value) for value in given) else "VARCHAR"


def _iso_day(value: str) -> date | None:
    return _day(value) if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else None


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def days_of(values: Mapping[str, str | None]) -> tuple[date, date] | None:
    """The first and last day of a partition, where its folders say them; None where they do not.

    Days are one column of dates (``dt=2024-01-31`` or ``dt=20240131``), or ``year``, ``month`` and ``day``, of which
    the later ones may be absent.
    """
    parts = {column.casefold(): value for column, value in values.items()}
    if parts.get("year") is not None:
        return _days_of_parts([parts.get(name) for name in _PARTS_OF_DAYS])
    written = [value for value in values.values() if value and re.fullmatch(r"\d{4}-?\d\d-?\d\d", value)]
    days = [day for value in written if (day := _day(value))]
    return (days[0], days[0]) if len(days) == 1 else None


def _days_of_parts(parts: Sequence[str | None]) -> tuple[date, date] | None:
    numbers = [int(part) if part and part.isdecimal() else None for part in parts]
    year, month, day = numbers
    try:
        if year is None:
            return None
        if month is None:
            return date(year, 1, 1), date(year, 12, 31)
        if day is None:
            return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        return date(year, month, day), date(year, month, day)
    except ValueError:
        return None


def wanted(files: Sequence[Mapping[str, str | None]], since: date | None, place: str) -> tuple[bool, ...]:
    """Which files are of partitions that do not lie wholly before a day.

    Raises:
        SourceUnreadableError: a day is asked for, and no folder says days.
        SourceNotFoundError: all lie before.
    """
    if since is None:
        return (True,) * len(files)
    days = [days_of(values) for values in files]
    if not any(days):
        raise SourceUnreadableError(
            f"{place!r} is to be read since {since}, and no folder in it says days (such as dt=2024-01-31).",
            "take `since` out, or name a folder whose partitions are days.",
            path=place,
        )
    found = tuple(span is None or span[1] >= since for span in days)
    if not any(found):
        newest = max(span[1] for span in days if span is not None)
        raise SourceNotFoundError(
            f"{place!r} has no day from {since} on; its newest is {newest}.",
            "name an earlier day under `since`, or take it out.",
            path=place, since=str(since),
        )  # fmt: skip
    return found
