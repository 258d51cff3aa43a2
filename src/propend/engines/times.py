"""Times of any form as microseconds: local wall clock where they carry no zone, instants where they do.

The form of a column is decided over the whole column, never row by row: whether numbers are seconds or
milliseconds, whether 03/04 is March or April. Only ISO dates with and without zone may be mixed.
"""

from __future__ import annotations

from dataclasses import dataclass

from propend.columns import EPOCH_FROM
from propend.engines.coding import trimmed
from propend.engines.database import Database
from propend.errors import ColumnTypeError
from propend.wall_clock import zone_offsets

DAY_US = 86_400_000_000
RAW = '"propend time"'
"""The name under which a column of times is selected, so that it is made ready only once per row."""
NO_TIME = "CAST(NULL AS BIGINT)"

_UNITS = ((float(EPOCH_FROM), 1_000_000, 1), (1e11, 1_000, 1), (1e14, 1, 1), (1e17, 1, 1_000))
"""Numbers from so much on are seconds, milliseconds, microseconds, nanoseconds: times and divided by what."""
_CLOCK = r"([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?)"
_ISO = r"\d{4}[-/]\d{1,2}[-/]\d{1,2}" + _CLOCK + "?"
_ISO_ZONED = r"\d{4}[-/]\d{1,2}[-/]\d{1,2}" + _CLOCK + r" ?([zZ]|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
_HALF_DAY = r" ?[AaPp][Mm]"
_WORDED_ZONED = r".*\d:\d{2}(:\d{2}([.,]\d+)?)?(" + _HALF_DAY + r")? ?([zZ]|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
_OFFSET = r"([+-]\d{2}(?::?\d{2})?)$"
_PARTED = r"(\d{1,2})([/.-])(\d{1,2})[/.-](\d{4}|\d{2})(?: .*)?"
_DAY_FIRST = r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})"
_NUMBER = r"-?\d+(\.\d+)?"
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p", " %I:%M:%S%p")
_WORDED = ("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%a, %d %b %Y", "%Y.%m.%d")


@dataclass(frozen=True)
class TimeColumn:
    """How a column of times is read.

    Attributes:
        raw: expression over the source, to be selected as ``RAW``, which the others are expressions over.
        local: local microseconds, null where the time carries a zone or cannot be read.
        instant: microseconds since 1970 in UTC, null where it carries none.
        given: whether anything is there at all.
    """

    raw: str
    local: str
    instant: str
    given: str


def read_times(db: Database, table: str, name: str, sql: str, native: str) -> TimeColumn:
    """Decide how a column of times is read.

    Args:
        db: where the table is.
        table: the table, quoted.
        name: the column as people know it.
        sql: expression of the column.
        native: its type in the engine.

    Raises:
        ColumnTypeError: its values are no times, or day and month cannot be told apart.
    """
    given, finite = f"({RAW} IS NOT NULL)", f"CASE WHEN isfinite({RAW}) THEN {{}} END"
    if native.startswith("TIMESTAMP") and ("TZ" in native or "WITH TIME ZONE" in native):
        return TimeColumn(f"CAST({sql} AS TIMESTAMPTZ)", NO_TIME, finite.format(f"epoch_us({RAW})"), given)
    if native == "TIMESTAMP_NS":
        return TimeColumn(sql, finite.format(f"epoch_ns({RAW}) // 1000"), NO_TIME, given)
    if native.startswith("TIMESTAMP") or native == "DATE":
        return TimeColumn(sql, finite.format(f"epoch_us({RAW})"), NO_TIME, given)
    if is_number(native):
        return _of_numbers(db, table, name, sql, native)
    if native in ("VARCHAR", "JSON", '"NULL"') or native.startswith("ENUM"):
        return _of_texts(db, table, name, trimmed(f"CAST({sql} AS VARCHAR)"))
    raise ColumnTypeError(
        f"The column {name!r} is of type {native}, which holds no times.",
        "name the column of the event's time under `columns: {at: ...}`.",
        column=name, type=native,
    )  # fmt: skip


def local_time(local: str, instant: str, zone: str) -> str:
    """Local microseconds from either of the two, as an expression; ``instant`` is best a plain column."""
    return f"coalesce({local}, {in_zone(instant, zone)})"


def in_zone(instant: str, zone: str) -> str:
    """An instant's microseconds on the zone's wall clock, as an expression."""
    table = zone_offsets(zone)
    if len(table) == 1:
        return f"({instant} + {table[0][1]})" if table[0][1] else instant
    return f"({instant} + {_search(instant, table)})"


def _search(instant: str, table: tuple[tuple[int, int], ...]) -> str:
    """A binary search in the table of offsets, as nested conditions."""
    if len(table) == 1:
        return str(table[0][1])
    middle = len(table) // 2
    low, high = _search(instant, table[:middle]), _search(instant, table[middle:])
    return f"CASE WHEN {instant} < {table[middle][0]} THEN {low} ELSE {high} END"


# --- numbers ------------------------------------------------------------------------------------------------


def is_whole(native: str) -> bool:
    """Whether an engine type holds whole numbers."""
    return native.removeprefix("U") in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")


def is_number(native: str) -> bool:
    """Whether an engine type holds numbers."""
    return is_whole(native) or native.startswith(("DECIMAL", "FLOAT", "DOUBLE"))


def _of_numbers(db: Database, table: str, name: str, sql: str, native: str) -> TimeColumn:
    fractional = native.startswith(("FLOAT", "DOUBLE"))
    number = f"CAST({RAW} AS DOUBLE)"
    dates, count, middle = db.rows(f"""
        SELECT count(*) FILTER ({number} BETWEEN 19000101 AND 21001231), count(*), {_middle(number)}
        FROM (SELECT {sql} AS {RAW} FROM {table}) WHERE isfinite({number})""")[0]
    given = f"({RAW} IS NOT NULL AND NOT isnan({RAW}))" if fractional else f"({RAW} IS NOT NULL)"
    if dates and 2 * dates >= count:
        return TimeColumn(sql, _ymd(f"CAST(CAST({RAW} AS BIGINT) AS VARCHAR)"), NO_TIME, given)
    found = TimeColumn(sql, NO_TIME, _epoch(RAW, float(middle or 0), fractional), given)
    _check_readable(db, table, name, found, int(count))
    return found


def _ymd(text: str) -> str:
    return f"epoch_us(try_strptime({text}, '%Y%m%d'))"


def _middle(number: str) -> str:
    return f"approx_quantile(abs({number}), 0.5) FILTER (abs({number}) >= {EPOCH_FROM})"


def _epoch(sql: str, middle: float, fractional: bool) -> str:
    """Microseconds from a number in the unit that fits the column's median; smaller numbers are no times.

    Args:
        middle: the median of the numbers that could be instants, or 0 if none could.
    """
    if not middle:
        return NO_TIME
    least, factor, divisor = next(unit for unit in reversed(_UNITS) if middle >= unit[0])
    number = f"CAST({sql} AS DOUBLE)"
    other = f"{number} BETWEEN 0 AND {least!r}"
    safe = f"isfinite({number}) AND NOT ({other}) AND abs({number}) < {9e18 / factor!r}"
    exact = f"(CAST({sql} AS BIGINT) * {factor}) // {divisor}"
    rounded = f"CAST(round({number} * {factor / divisor!r}) AS BIGINT)"
    return f"CASE WHEN {safe} THEN {rounded if fractional else exact} END"


# --- texts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shapes:
    """What a look over a column of texts found besides ISO dates; counts of rows."""

    given: int
    iso: int
    digits: int
    dates: int
    stamps: int
    middle: float
    parted: int
    first: int
    second: int
    dotted: int
    years: int


def _of_texts(db: Database, table: str, name: str, text: str) -> TimeColumn:
    shapes = _look(db, table, text)
    local, instant = [], []
    if shapes.iso:
        local.append((_full(RAW, _ISO), f"epoch_us(try_cast(replace({RAW}, ',', '.') AS TIMESTAMP))"))
        local.append((_full(RAW, _ISO + _HALF_DAY), _by_formats(RAW, ["%Y-%m-%d", "%Y/%m/%d"])))
        instant.append((_full(RAW, _ISO_ZONED), _zoned(RAW)))
    if shapes.digits:
        number = _full(RAW, _NUMBER)
        if shapes.dates and 2 * shapes.dates >= shapes.digits:
            local.append((number, _ymd(RAW)))
        elif shapes.stamps and 2 * shapes.stamps >= shapes.digits:
            local.append((number, f"epoch_us(try_strptime({RAW}, '%Y%m%d%H%M%S'))"))
        else:
            instant.append((number, _epoch(f"try_cast({RAW} AS DOUBLE)", shapes.middle, True)))
    if shapes.parted:
        local += _parted(RAW, _order(shapes, name), shapes.years)
    if shapes.given > shapes.iso + shapes.digits + shapes.parted:
        instant.append((_full(RAW, _WORDED_ZONED), f"{_by_formats(_naive(RAW), _WORDED)} - {_shift(RAW)}"))
        local.append(("TRUE", _by_formats(RAW, _WORDED)))
    found = TimeColumn(text, _cases(local), _cases(instant), f"(coalesce({RAW}, '') <> '')")
    _check_readable(db, table, name, found, shapes.given)
    return found


def _look(db: Database, table: str, text: str) -> _Shapes:
    """One pass; only rows that do not begin like an ISO date are looked at closely."""
    stamp = "left(o, 2) IN ('19', '20') AND try_strptime(o, '{}') IS NOT NULL"
    part = f"regexp_extract(o, {_literal('^' + _PARTED + '$')}, ['a', 'sign', 'b', 'y'])"
    rows = db.rows(f"""
        SELECT count(*) FILTER (t <> ''), count(*) FILTER (t <> '' AND o IS NULL), count(*) FILTER (digits),
               count(*) FILTER (digits AND length(o) = 8 AND {stamp.format("%Y%m%d")}),
               count(*) FILTER (digits AND length(o) = 14 AND {stamp.format("%Y%m%d%H%M%S")}),
               {_middle("CASE WHEN digits THEN try_cast(o AS DOUBLE) END")},
               count(*) FILTER (p.sign <> ''), max(try_cast(p.a AS INTEGER)) FILTER (p.sign <> '.'),
               max(try_cast(p.b AS INTEGER)) FILTER (p.sign <> '.'), count(*) FILTER (p.sign = '.'), max(length(p.y))
        FROM (SELECT t, o, {_full("o", _NUMBER)} AS digits, {part} AS p
              FROM (SELECT t, CASE WHEN t <> '' AND NOT {_iso_like("t")} THEN t END AS o
                    FROM (SELECT {text} AS t FROM {table})))""")
    return _Shapes(*(value or 0 for value in rows[0]))


def _iso_like(text: str) -> str:
    """Begins like a year: cheap, and enough to tell which rows need no closer look."""
    return f"(substr({text}, 5, 1) IN ('-', '/') AND substr({text}, 1, 1) BETWEEN '0' AND '9')"


def _full(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {_literal(pattern)})"


def _literal(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"


def _cases(branches: list[tuple[str, str]]) -> str:
    if not branches:
        return NO_TIME
    return "CASE " + " ".join(f"WHEN {test} THEN {value}" for test, value in branches) + " END"


def _zoned(text: str) -> str:
    """An ISO time with a zone as an instant; the offset is taken off by hand, since versions differ in casts."""
    naive, short = f"replace({_naive(text)}, ',', '.')", f"replace(left({text}, -1), ',', '.')"
    return (
        f"CASE WHEN right({text}, 1) IN ('Z', 'z') THEN epoch_us(try_cast({short} AS TIMESTAMP)) "
        f"ELSE epoch_us(try_cast({naive} AS TIMESTAMP)) - {_shift(text)} END"
    )


def _naive(text: str) -> str:
    """A time without the zone at its end."""
    return f"regexp_extract({text}, '^(.*?) ?(?:[zZ]|UTC|GMT|[+-][0-9:]+)$', 1)"


def _shift(text: str) -> str:
    """Microseconds that the zone at a time's end is ahead of UTC."""
    offset = f"regexp_extract({text}, '{_OFFSET}', 1)"
    rest = f"coalesce(try_cast(right(substr({offset}, 4), 2) AS BIGINT), 0)"
    minutes = f"CAST(substr({offset}, 2, 2) AS BIGINT) * 60 + {rest}"
    return f"CASE left({offset}, 1) WHEN '+' THEN {minutes} WHEN '-' THEN -({minutes}) ELSE 0 END * 60000000"


def _order(shapes: _Shapes, name: str) -> str:
    """``dmy`` or ``mdy``, if the column shows which."""
    if shapes.dotted == shapes.parted:
        return "dmy"
    if shapes.first > 12 >= shapes.second:
        return "dmy"
    if shapes.second > 12 >= shapes.first:
        return "mdy"
    seen = "no value tells day from month" if shapes.first <= 12 else "some have the day first and some the month"
    raise ColumnTypeError(
        f"The times in {name!r} are written like 03/04/2024, and {seen} ({shapes.parted:,} values).",
        "write them as 2024-04-03, or read them with a query: strptime(column, '%d/%m/%Y').",
        column=name, values=shapes.parted,
    )  # fmt: skip


def _parted(text: str, order: str, years: int) -> list[tuple[str, str]]:
    """Dates with day and month first, turned round to be read as ISO ones."""
    if years == 2:
        formats = [sign.join((*(f"%{part}" for part in order[:2]), "%y")) for sign in "/.-"]
        return [(_full(text, _PARTED), _by_formats(text, formats))]
    turned = {"dmy": r"\3-\2-\1", "mdy": r"\3-\1-\2"}[order]
    iso = f"regexp_replace({text}, '^{_DAY_FIRST}', '{turned}')"
    return [
        (_full(text, _DAY_FIRST + _CLOCK + "?"), f"epoch_us(try_cast(replace({iso}, ',', '.') AS TIMESTAMP))"),
        (_full(text, _DAY_FIRST + _CLOCK + _HALF_DAY), _by_formats(iso, ["%Y-%m-%d"])),
    ]


def _by_formats(text: str, formats: tuple[str, ...] | list[str]) -> str:
    every = ", ".join(f"'{date}{clock}'" for date in formats for clock in _CLOCKS)
    return f"epoch_us(try_strptime({text}, [{every}]))"


def _check_readable(db: Database, table: str, name: str, column: TimeColumn, given: int) -> None:
    """Some value at least must be readable, if any is there.

    Raises:
        ColumnTypeError: none is.
    """
    source = f"FROM (SELECT {column.raw} AS {RAW} FROM {table}) WHERE {column.given}"
    readable = f"({column.local} IS NOT NULL OR {column.instant} IS NOT NULL)"
    if not given or db.rows(f"SELECT 1 {source} AND {readable} LIMIT 1"):
        return
    example = str(db.rows(f"SELECT min({RAW}) {source}")[0][0])
    raise ColumnTypeError(
        f"None of {given:,} values in {name!r} can be read as a time, such as {example[:60]!r}.",
        "name the column of the event's time under `columns: {at: ...}`, or write times as 2024-04-03 17:30.",
        column=name, values=given,
    )  # fmt: skip
