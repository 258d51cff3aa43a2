"""How far a table was read, in its own clock: from where on it is read again, and which rows lie there.

Moments with a zone are marked as instants, moments without one as they are on their own wall clock, dates by the day,
and texts by the day that they begin with (``2024-01-31``): the same comparison holds in every database and here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from propend.errors import ConfigurationError, Mistake

Begin = datetime | date | str
"""The first time that is read again."""
EPOCH = date(1970, 1, 1)
_ISO = r"^\d{4}-\d{2}-\d{2}([T ]|$)"
_AHEAD = r"(?P<offset>[+-]\d{2}(?::?\d{2})?)$"
_CLOCK_AND_ZONE = r"^.{10}[T ].*\d[+-]\d{2}(:?\d{2})?$"
_UTC = re.compile(r"[+-]00(:?00)?")


@dataclass
class Newest:
    """The largest time of a column, batch by batch: of those that are not in the future, since one that is by mistake
    would keep all others from being read.

    Attributes:
        column: its name.
        now: the instant in UTC.
        place: where the document names it.
        at: the largest time so far; of texts the day.
        zoned: whether texts carry zones that are not UTC.
    """

    column: str
    now: datetime
    place: str
    at: datetime | date | None = None
    zoned: bool = False

    def look(self, values: pa.Array) -> None:
        """Take in some rows.

        Raises:
            ConfigurationError: a text has digits and does not begin like 2024-01-31.
        """
        kind = values.type
        if is_text(kind):
            self._look_at_texts(values.cast(pa.string()))
            return
        first, last = scalar_of(as_kind(EPOCH, kind), kind), scalar_of(as_kind(self.now, kind), kind)
        known = values.filter(pc.and_(pc.greater_equal(values, first), pc.less_equal(values, last)))
        if not len(known):
            return
        if pa.types.is_timestamp(kind):
            most = pc.max(pc.cast(known, pa.timestamp("us", kind.tz), safe=False)).cast(pa.int64()).as_py()
            found: datetime | date = datetime(1970, 1, 1, tzinfo=UTC if kind.tz else None) + timedelta(
                microseconds=most
            )
        else:
            found = pc.max(pc.cast(known, pa.date32())).as_py()
        self.at = found if self.at is None else max(self.at, found)

    def _look_at_texts(self, values: pa.Array) -> None:
        iso = pc.match_substring_regex(values, _ISO)
        other = values.filter(pc.and_(pc.invert(iso), pc.match_substring_regex(values, r"\d")))
        if len(other):
            problem = (
                f"{self.column!r} holds times such as {str(other[0])[:40]!r}, by which a database cannot be asked for "
                "later ones: cast them to times in a query, or write them as 2024-01-31 17:30"
            )
            raise ConfigurationError([Mistake(self.place, problem)])
        known = values.filter(iso)
        with_zone = known.filter(pc.match_substring_regex(known, _CLOCK_AND_ZONE))
        offsets = pc.unique(pc.struct_field(pc.extract_regex(with_zone, _AHEAD), "offset")).to_pylist()
        self.zoned = self.zoned or any(not _UTC.fullmatch(o) for o in offsets)
        days = pc.unique(pc.utf8_slice_codeunits(known, 0, 10)).to_pylist()
        found = [d for d in map(_day, days) if d is not None and EPOCH <= d <= self.now.date()]
        if found:
            most = max(found)
            self.at = most if self.at is None else max(self.at, most)

    def begin(self, late_days: int, kind: pa.DataType) -> Begin | None:
        """From where on rows are read the next time; None where there is no time yet.

        Args:
            late_days: so long an event may come after its time.
            kind: the column's type.
        """
        if self.at is None:
            return None
        early = self.at - timedelta(days=late_days + (1 if self.zoned else 0))
        if isinstance(early, datetime):
            return early.replace(microsecond=0)
        return early.isoformat() if is_text(kind) else early


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def check_clock(column: str, kind: pa.DataType, place: str) -> None:
    """Refuse a column that is no clock which a database can be asked by.

    Raises:
        ConfigurationError: it holds neither times, nor dates, nor texts.
    """
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or is_text(kind):
        return
    what = "numbers" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "values"
    problem = (
        f"{column!r} holds {what} of type {kind}, and only times, dates and texts of times tell which rows are new: "
        "make times of them in a query, as to_timestamp(seconds) does, or take `incremental` out"
    )
    raise ConfigurationError([Mistake(place, problem)])


def as_kind(moment: datetime | date, kind: pa.DataType) -> Begin:
    """A moment or day in the clock of a column of moments or dates."""
    if pa.types.is_date(kind):
        return moment.date() if isinstance(moment, datetime) else moment
    found = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    found = found.replace(microsecond=0)
    return found if kind.tz else found.replace(tzinfo=None)


def scalar_of(begin: Begin, kind: pa.DataType) -> pa.Scalar[Any]:
    """A time as a value of a column's type."""
    return pa.scalar(begin, kind)


def not_before(values: pa.Array, begin: Begin) -> pa.Array:
    """Of each row, whether it is of that time or later, or has none: those that are read again."""
    plain = values.cast(pa.string()) if is_text(values.type) else values
    return pc.fill_null(pc.greater_equal(plain, scalar_of(begin, plain.type)), True)


def written(begin: Begin) -> str:
    """A time as a text that ``read_begin`` reads."""
    return begin if isinstance(begin, str) else begin.isoformat()


def read_begin(text: str, kind: pa.DataType) -> Begin:
    """A time that ``written`` wrote, in the clock of its column.

    Raises:
        ValueError: it is none.
    """
    if is_text(kind) or pa.types.is_date(kind):
        day = date.fromisoformat(text)
        return text if is_text(kind) else day
    return datetime.fromisoformat(text)
