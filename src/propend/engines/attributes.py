"""Facts about profiles as rows with the time from which they are true, only for profiles that have events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from propend.columns import guess_columns, listed, nearest_column
from propend.connectors.xdm import LATER
from propend.engines.coding import coded, number, plain, short_text, vocabulary
from propend.engines.database import Database
from propend.engines.relations import RawColumn, Relation, sample_of
from propend.engines.sources import open_relation
from propend.engines.times import DAY_US, RAW, local_time, read_times
from propend.errors import ColumnNotFoundError
from propend.events import AttributeRows, EventRequest, Field
from propend.instance import Attributes, Data
from propend.predicates import FieldType, quote_name
from propend.timeline import day_number

ALWAYS = np.iinfo(np.int64).min
"""The time from which constant facts are true."""
MAX_DISTINCT = 5_000
"""Texts with more values than this describe nobody; they are delivered only if named."""


@dataclass(frozen=True)
class AttributeTable:
    """Attributes in the database, sorted by (profile, time).

    Attributes:
        table: quoted name, or empty if there are none.
        numbers, texts: names as delivered, in order.
        vocabularies: of the texts.
        kinds: what numbers and texts are in the data, by name: booleans are texts, and times that are no features are
            numbers, microseconds of UTC or of the clock that they are written by.
        beside: of numbers and texts, those that are no features.
        without_time: columns that are no features because nobody knows since when they hold.
        columns: all there are in the tables.
    """

    table: str = ""
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    vocabularies: tuple[tuple[str, ...], ...] = ()
    kinds: Mapping[str, FieldType] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    without_time: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[Field, ...]:
        return tuple(Field(name, self.kinds[name]) for name in (*self.numbers, *self.texts))

    def rows_of(self, db: Database, start: int, end: int) -> AttributeRows | None:
        """The rows of profiles ``start`` to ``end``."""
        if not self.table:
            return None
        rows = db.arrays(f"SELECT * FROM {self.table} WHERE code >= {start} AND code < {end}")
        codes = plain(rows["code"], np.int64)
        numbers = [rows[f"n{i}"] for i in range(len(self.numbers))]
        texts = [rows[f"t{i}"] for i in range(len(self.texts))]
        return AttributeRows(
            offsets=np.searchsorted(codes, np.arange(start, end + 1)).astype(np.int64),
            at=plain(rows["moment"], np.int64),
            numbers=np.stack(numbers) if numbers else np.empty((0, len(codes))),
            texts=np.stack(texts) if texts else np.empty((0, len(codes)), dtype=np.int32),
        )


NO_ATTRIBUTES = AttributeTable()


@dataclass(frozen=True)
class _Part:
    """One table of attributes: its rows and the columns delivered from it, by the name they are delivered as.

    Attributes:
        stem: what stands before names that another table has, too.
        beside: columns that are no features.
    """

    relation: Relation
    profile: RawColumn
    raw: str
    moment: str
    stem: str
    numbers: dict[str, RawColumn]
    texts: dict[str, RawColumn]
    beside: dict[str, RawColumn]

    @property
    def named(self) -> dict[str, RawColumn]:
        """All of them."""
        return self.numbers | self.texts | self.beside


def load_attributes(
    db: Database,
    data: Data,
    folder: Path,
    tables: Mapping[str, Any],
    profiles: str,
    profile_names: Sequence[str],
    request: EventRequest,
) -> AttributeTable:
    """All tables of attributes that have a time or are constant, as one.

    Where there are several, a row of one also carries what the others said last before it.

    Args:
        profiles: table of the profiles that have events.
        profile_names: columns of the profile's id in the events, tried first.

    Raises:
        ColumnNotFoundError: a column that is named is not there, or the profile's cannot be told.
        SourceNotFoundError, SourceUnreadableError, ColumnTypeError: 200, 201, 203.
    """
    parts: list[_Part] = []
    without: list[str] = []
    known: dict[str, None] = {}
    for one in data.attributes:
        relation = open_relation(db, one, folder, tables)
        known |= dict.fromkeys(relation.columns)
        given, later = _as_subscription(relation, one)
        profile = _profile_column(db, relation, given, profile_names)
        columns = _delivered(db, relation, given, profile, request.group_fields)
        without += [n for n in later if n in columns and n not in request.group_fields]
        columns = {n: c for n, c in columns.items() if n not in later or n in request.group_fields}
        beside = _times(relation, given, profile) if request.beside else {}
        if given.effective is None and not given.constant:
            undated = {n: c for n, c in columns.items() if n not in request.group_fields}
            without += list(undated)
            columns = {n: c for n, c in columns.items() if n in request.group_fields}
            beside = (undated | beside) if request.beside else {}
        if not columns and not beside:
            continue
        taken = {name for p in parts for name in (*p.numbers, *p.texts)}
        parts.append(_part(db, relation, given, profile, columns, taken, request.time_zone))
        parts[-1].beside.update(beside)
    parts = _with_names(parts)
    if not any(p.named for p in parts):
        return AttributeTable(without_time=tuple(without), columns=tuple(known))
    found = _together(db, parts, profiles, request, tuple(without))
    return replace(found, columns=tuple(known))


def _as_subscription(relation: Relation, given: Attributes) -> tuple[Attributes, tuple[str, ...]]:
    """Records in XDM's shape: whose they are, and of subscriptions since when each is true (spec IN-04).

    Returns:
        the table with what the shape says and the document does not, and columns that are written later than the
        time from which a record is true: nobody knows since when their values hold.
    """
    if relation.xdm is None:
        return given, ()
    said = {"profile": given.profile or relation.xdm.roles.get("profile")}
    start = relation.xdm.roles.get("at")
    if start is None or given.constant or given.effective not in (None, start):
        return given.model_copy(update=said), ()
    return given.model_copy(update=said | {"effective": start}), LATER if given.columns is None else ()


def _profile_column(db: Database, relation: Relation, given: Attributes, names: Sequence[str]) -> RawColumn:
    if given.profile is not None:
        return _named(relation, given.profile, "profile")
    same = next((n for n in names if n in relation.columns), None)
    if same is None:
        guess = guess_columns(relation.types, sample_of(db, relation), {"at": ""}).get("profile")
        same = guess.column if guess else None
    if same is None:
        raise ColumnNotFoundError(
            f"Which column of {relation.name!r} is the profile's id cannot be told; its columns are: "
            f"{listed(relation.types)}.",
            "name it: attributes: {path: ..., profile: ...}.",
            source=relation.name, role="profile",
        )  # fmt: skip
    return relation.columns[same]


def _named(relation: Relation, name: str, role: str) -> RawColumn:
    if name in relation.columns:
        return relation.columns[name]
    near = nearest_column(name, relation.types)
    raise ColumnNotFoundError(
        f"{relation.name!r} has no column {name!r}; its columns are: {listed(relation.types)}.",
        f"did you mean {near!r}?" if near else "name one of them.",
        source=relation.name, role=role, column=name, nearest=near,
    )  # fmt: skip


def _delivered(
    db: Database, relation: Relation, given: Attributes, profile: RawColumn, wanted: Sequence[str]
) -> dict[str, RawColumn]:
    """The attributes of a table: those named, else all that are numbers or repeating texts; and those wanted."""
    roles = {profile.name, given.effective}
    also = {n: c for n, c in relation.columns.items() if n in wanted and n not in roles}
    if given.columns is not None:
        return {name: _named(relation, name, "attribute") for name in given.columns} | also
    free = {n: c for n, c in relation.columns.items() if n not in roles and c.type != "time"}
    texts = [c for c in free.values() if c.type == "text"]
    if not texts:
        return free
    asked = ", ".join(f"approx_count_distinct({c.column.text})" for c in texts)
    with db.reading(relation.name):
        counts = db.rows(f"SELECT {asked} FROM {relation.table}")[0]
    unlike = {c.name for c, count in zip(texts, counts, strict=True) if int(count) > MAX_DISTINCT}
    return {n: c for n, c in free.items() if n not in unlike} | also


def _times(relation: Relation, given: Attributes, profile: RawColumn) -> dict[str, RawColumn]:
    """The times of a table that names no columns: they describe nobody, and are asked for by whoever looks."""
    if given.columns is not None or relation.xdm is not None:
        return {}
    return {n: c for n, c in relation.columns.items() if c.type == "time" and n not in (profile.name, given.effective)}


def _with_names(parts: Sequence[_Part]) -> list[_Part]:
    """What is delivered beside, under names that no feature has, so that these are what they were without it."""
    taken = {name for part in parts for name in (*part.numbers, *part.texts)}
    found = []
    for part in parts:
        named = {(f"{part.stem}.{n}" if n in taken else n): c for n, c in part.beside.items()}
        named = {n: c for n, c in named.items() if n not in taken}
        taken |= set(named)
        found.append(replace(part, beside=named))
    return found


def _part(
    db: Database,
    relation: Relation,
    given: Attributes,
    profile: RawColumn,
    columns: Mapping[str, RawColumn],
    taken: set[str],
    time_zone: str,
) -> _Part:
    moment, raw = f"CAST('{ALWAYS}' AS BIGINT)", "NULL"
    if given.effective is not None:
        column = _named(relation, given.effective, "effective")
        with db.reading(relation.name):
            time = read_times(db, relation.table, column.name, column.sql, column.native)
        moment, raw = local_time(time.local, time.instant, time_zone), time.raw
    stem = Path(relation.name.split(",")[0]).name.split(".")[0]
    if given.table is not None:
        stem = given.table.rpartition(".")[2]
    named = {(f"{stem}.{n}" if n in taken else n): c for n, c in columns.items()}
    numbers = {n: c for n, c in named.items() if c.type == "number"}
    texts = {n: c for n, c in named.items() if n not in numbers}
    return _Part(relation, profile, raw, moment, stem, numbers, texts, {})


# --- putting them together ----------------------------------------------------------------------------------


def _together(
    db: Database, parts: Sequence[_Part], profiles: str, request: EventRequest, without: tuple[str, ...]
) -> AttributeTable:
    # what is beside comes last: rows of one time are put in order by their columns, the features first
    columns: list[tuple[int, str, FieldType]] = [
        (i, name, kind)
        for kind in ("number", "text")
        for i, part in enumerate(parts)
        for name in (part.numbers if kind == "number" else part.texts)
    ]
    columns += [(i, name, _form_of(c)) for i, part in enumerate(parts) for name, c in part.beside.items()]
    raw = quote_name(db.new_name("attributes"))
    selects = [_select(i, part, columns, profiles) for i, part in enumerate(parts)]
    before = f"WHERE moment < {day_number(request.as_of) * DAY_US}" if request.as_of else "WHERE moment IS NOT NULL"
    with db.reading(", ".join(p.relation.name for p in parts)):
        db.run(f"CREATE TABLE {raw} AS SELECT * FROM ({' UNION ALL '.join(selects)}) {before}")
    texts = [f"c{j}" for j, (_, _, kind) in enumerate(columns) if kind == "text"]
    words = {column: vocabulary(db, f"SELECT {column} FROM {raw}") for column in texts}
    table = quote_name(db.new_name("attributes"))
    db.run(f"CREATE TABLE {table} AS {_final_sql(raw, columns, len(parts), {c: w[0] for c, w in words.items()})}")
    db.run(f"DROP TABLE {raw}")
    return AttributeTable(
        table=table,
        numbers=tuple(name for _, name, kind in columns if kind == "number"),
        texts=tuple(name for _, name, kind in columns if kind == "text"),
        vocabularies=tuple(words[c][1] for c in texts),
        kinds={name: column.type for part in parts for name, column in part.named.items()},
        beside=tuple(name for part in parts for name in part.beside),
        without_time=without,
    )


def _form_of(column: RawColumn) -> FieldType:
    """How a column that is no feature is delivered."""
    return "number" if column.type in ("number", "time") else "text"


def _select(i: int, part: _Part, columns: Sequence[tuple[int, str, FieldType]], profiles: str) -> str:
    selected = [f"{part.profile.id_text} AS profile", f"{part.moment} AS moment"]
    for j, (owner, name, kind) in enumerate(columns):
        empty = "CAST(NULL AS DOUBLE)" if kind == "number" else "CAST(NULL AS VARCHAR)"
        form = empty
        if owner == i:
            raw = part.named[name]
            column = raw.column
            number_of = f"CAST(epoch_us({column.time}) AS DOUBLE)" if raw.type == "time" else column.number
            form = number_of if kind == "number" else short_text(column.text)
        selected.append(f"{form} AS c{j}")
    rows = f"SELECT {', '.join(selected)} FROM (SELECT *, {part.raw} AS {RAW} FROM {part.relation.table})"
    return (
        f"SELECT p.code, {i} AS part, a.* EXCLUDE (profile) FROM ({rows}) a JOIN {profiles} p ON a.profile = p.profile"
    )


def _final_sql(raw: str, columns: Sequence[tuple[int, str, FieldType]], parts: int, words: Mapping[str, str]) -> str:
    """Rows in order, each with the latest of every table, numbers and codes without nulls."""
    order = ", ".join(["moment", "part", *(f"c{j}" for j in range(len(columns)))])
    known = raw
    if parts > 1:
        latest = [_latest(i, [j for j, (owner, _, _) in enumerate(columns) if owner == i], order) for i in range(parts)]
        unpacked = [f"k{owner}.c{j} AS c{j}" for j, (owner, _, _) in enumerate(columns)]
        known = (
            f"(SELECT code, moment, part, place, {', '.join(unpacked)} FROM (SELECT code, moment, part, "
            f"row_number() OVER (PARTITION BY code ORDER BY {order}) AS place, {', '.join(latest)} FROM {raw}))"
        )
        order = "place"
    forms = []
    numbers = texts = 0
    for j, (_, _, kind) in enumerate(columns):
        if kind == "number":
            forms.append(f"{number(f'c{j}')} AS n{numbers}")
            numbers += 1
        else:
            forms.append(f"{coded(f'c{j}', words[f'c{j}'])} AS t{texts}")
            texts += 1
    return f"SELECT code, moment, {', '.join(forms)} FROM {known} ORDER BY code, {order}"


def _latest(i: int, columns: Sequence[int], order: str) -> str:
    """What table ``i`` said last, as a struct that is null only before its first row."""
    row = ", ".join(["'row': 1", *(f"'c{j}': c{j}" for j in columns)])
    window = f"PARTITION BY code ORDER BY {order} ROWS UNBOUNDED PRECEDING"
    return f"last_value(CASE WHEN part = {i} THEN {{{row}}} END IGNORE NULLS) OVER ({window}) AS k{i}"
