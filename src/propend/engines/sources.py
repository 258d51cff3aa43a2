"""Event sources with their roles: which column is the profile, the time, the kind, the value, the id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from propend.columns import NEEDED, ROLES, Guess, guess_columns, is_value, listed, might_be, nearest_column
from propend.connectors import Origin, locate
from propend.engines.coding import not_blank, short_text
from propend.engines.database import Database
from propend.engines.relations import RawColumn, Relation, described, files_without, relation_of, sample_of
from propend.engines.times import TimeColumn, read_times
from propend.errors import ColumnNotFoundError, ColumnTypeError, ConfigurationError, Mistake
from propend.events import Field, FieldFacts, OpenedEvents, SourceFacts
from propend.instance import Attributes, Columns, Data, Source
from propend.predicates import FieldType, quote_text

NO_KIND = "(none)"
DEFAULT_KIND = "event"
EVENTS_TABLE = "events"
"""The name under which a caller's table stands in for all event sources."""
FACTS_CELLS = 60_000_000
"""Cells looked at for the facts of fields; beyond, some profiles stand for all."""
FEW_ROWS = 200_000
"""Distinct values are counted exactly up to so many rows."""


@dataclass(frozen=True)
class EventSource:
    """One source of events.

    Attributes:
        relation: its rows.
        roles: column of each role that has one.
        guesses: the roles whose column was guessed.
        kind: the kind of every event, where no column says it.
        time: how the column of times is read.
    """

    relation: Relation
    roles: dict[str, str]
    guesses: tuple[Guess, ...]
    kind: str | None
    time: TimeColumn

    def column(self, role: str) -> RawColumn | None:
        """The column of a role; None if none has it."""
        name = self.roles.get(role)
        return self.relation.columns[name] if name is not None else None

    @property
    def kind_sql(self) -> str:
        column = self.column("event")
        if column is None:
            return quote_text(self.kind or DEFAULT_KIND)
        return short_text(f"coalesce({column.column.text}, {quote_text(NO_KIND)})")

    @property
    def profile_sql(self) -> str:
        text = self.relation.columns[self.roles["profile"]].id_text
        return not_blank(text)

    @property
    def facts(self) -> SourceFacts:
        guessed = tuple(g.role for g in self.guesses)
        reasons = {g.role: g.reason for g in self.guesses}
        relation = self.relation
        return SourceFacts(
            relation.name, relation.format, relation.rows, dict(self.roles), guessed, reasons, relation.left_out
        )


# --- opening ------------------------------------------------------------------------------------------------


def open_sources(db: Database, data: Data, folder: Path, tables: Mapping[str, Any]) -> tuple[EventSource, ...]:
    """All event sources, each with its roles.

    Raises:
        ConfigurationError: the document names no source at all.
        SourceNotFoundError, SourceUnreadableError, ColumnNotFoundError, ColumnTypeError: 200 to 203.
    """
    wanted = _wanted(data, tables)
    if not wanted:
        raise ConfigurationError(
            [Mistake("data.events", "no source of events is named; give a path such as events: orders.csv")]
        )
    relations = [open_relation(db, s, folder, tables) for s in wanted]
    _check_named_somewhere(data.columns, [r for r, s in zip(relations, wanted, strict=True) if s.columns is None])
    return tuple(_with_roles(db, relation, source, data) for relation, source in zip(relations, wanted, strict=True))


def _wanted(data: Data, tables: Mapping[str, Any]) -> tuple[Source, ...]:
    if EVENTS_TABLE not in tables:
        return data.events
    only = data.events[0] if len(data.events) == 1 else None
    return (Source(path=EVENTS_TABLE, columns=only.columns if only else None, kind=only.kind if only else None),)


def open_relation(db: Database, source: Source | Attributes, folder: Path, tables: Mapping[str, Any]) -> Relation:
    """The rows of a source or of a table of attributes."""
    label = getattr(source, "name", None)
    if source.query is not None:
        place = label or "query"
        for name, table in tables.items():
            register_table(db, name, table)
        kept = db.new_name("query")
        db.run_query(kept, source.query, folder, place)
        return described(db, kept, place, "query")
    paths = (source.path,) if isinstance(source.path, str) else tuple(source.path or ())
    since = getattr(source, "since", None)
    located = locate(Origin(paths, folder, tables, db.scratch, source.version, since and date.fromisoformat(since)))
    return relation_of(db, replace(located, name=label or located.name))


def register_table(db: Database, name: str, table: Any) -> None:
    """Make a caller's table readable by its name in queries."""
    located = locate(Origin((name,), Path(), {name: table}, db.scratch))
    db.register(name, located.tables[0])


def _check_named_somewhere(columns: Columns, relations: Sequence[Relation]) -> None:
    """A column named for all sources must be in one of them at least."""
    for role in ROLES:
        name = getattr(columns, role)
        if name is not None and relations and not any(name in r.columns for r in relations):
            raise _no_column(relations[0], role, name)


def _with_roles(db: Database, relation: Relation, source: Source, data: Data) -> EventSource:
    own = source.columns or Columns()
    roles: dict[str, str] = {}
    for role in ROLES:
        name = getattr(own, role)
        if name is None and getattr(data.columns, role) in relation.columns:
            name = getattr(data.columns, role)
        if name is not None and name not in relation.columns:
            raise _no_column(relation, role, name)
        if name is not None:
            roles[role] = name
    kind = source.kind if source.kind is not None else data.kind
    if kind is not None and own.event is None:
        roles.pop("event", None)
    settled = dict.fromkeys((r for r in ROLES if getattr(data.columns, r) is not None), "")
    settled |= {"event": ""} if kind is not None else {}
    guesses = guess_columns(relation.types, sample_of(db, relation), settled | roles)
    # what is labelled describes nobody, unless somebody says so
    guesses = {r: g for r, g in guesses.items() if not (r in ("event", "value") and g.column in data.labels)}
    roles |= {role: guess.column for role, guess in guesses.items()}
    for role in NEEDED:
        if role not in roles:
            raise _not_guessed(relation, role, getattr(data.columns, role))
        _check_every_file(db, relation, role, roles[role])
    _check_value(db, relation, roles)
    at = relation.columns[roles["at"]]
    with db.reading(relation.name):
        time = read_times(db, relation.table, at.name, at.sql, at.native)
    ordered = {role: roles[role] for role in ROLES if role in roles}
    return EventSource(relation, ordered, tuple(guesses.values()), kind, time)


def _no_column(relation: Relation, role: str, name: str) -> ColumnNotFoundError:
    near = nearest_column(name, relation.types)
    hint = f"did you mean {near!r}?" if near else f"name one of them under `columns: {{{role}: ...}}`."
    return ColumnNotFoundError(
        f"{relation.name!r} has no column {name!r} for the role {role!r}; its columns are: {listed(relation.types)}.",
        hint, source=relation.name, role=role, column=name, nearest=near,
    )  # fmt: skip


def _check_every_file(db: Database, relation: Relation, role: str, column: str) -> None:
    """Files put together by name of column must all have what every event needs."""
    with db.reading(relation.name):
        lacking = files_without(db, relation, column)
    if lacking:
        count = sum(len(g.paths) for g in relation.groups)
        raise ColumnNotFoundError(
            f"{len(lacking)} of the {count} files of {relation.name!r} have no column {column!r}, which is "
            f"{_MEANING[role]}: {', '.join(lacking[:4])}.",
            "name only files of one kind, or give each kind its own source with its own `columns`.",
            source=relation.name, role=role, column=column, files=lacking[:50],
        )  # fmt: skip


_MEANING = {"profile": "the profile's id", "at": "the event's time"}


def _not_guessed(relation: Relation, role: str, named: str | None) -> ColumnNotFoundError:
    if named is not None:
        return _no_column(relation, role, named)
    alike = [c for c in relation.columns if might_be(role, c, relation.columns[c].type)]
    hint = f"name it under `columns: {{{role}: ...}}`"
    if relation.format.startswith("csv") and len(relation.top) == 1:
        hint = "the file seems to have a single column: part its columns by commas, semicolons, tabs or bars"
    elif relation.format.startswith("csv") and any(map(is_value, relation.top)):
        hint = f"the first line of the file seems to hold values: put the columns' names above it, or {hint}"
    return ColumnNotFoundError(
        f"Which column of {relation.name!r} is {_MEANING[role]} cannot be told with confidence; its columns are: "
        f"{listed(relation.types)}.",
        f"{hint}, perhaps {', '.join(map(repr, alike[:3]))}." if alike else f"{hint}.",
        source=relation.name, role=role, columns=list(relation.columns)[:50], alike=alike[:3],
    )  # fmt: skip


def _check_value(db: Database, relation: Relation, roles: Mapping[str, str]) -> None:
    """A column of values must hold a number somewhere, if it holds anything."""
    column = relation.columns[roles["value"]] if "value" in roles else None
    if column is None or column.type == "number":
        return
    forms = column.column
    with db.reading(relation.name):
        counted = f"SELECT count({forms.text}), count({forms.number}), min({forms.text}) FROM {relation.table}"
        given, numbers, example = db.rows(counted)[0]
    if not given or (numbers and column.type == "text"):
        return
    raise ColumnTypeError(
        f"The column {column.name!r} of {relation.name!r} holds {column.type} values, such as {str(example)[:60]!r}, "
        "and a value is a number.",
        "name a column of numbers under `columns: {value: ...}`, or leave it out; decimals are written with a point.",
        source=relation.name, column=column.name, type=column.type,
    )  # fmt: skip


# --- what there is ------------------------------------------------------------------------------------------


def unified_fields(sources: Sequence[EventSource]) -> dict[str, Field]:
    """Columns that conditions may name: all but those of profile, time, kind and id.

    Where sources differ in a column's type it is text; one where it is empty has no say.
    """
    found: dict[str, tuple[FieldType, bool]] = {}
    for source in sources:
        roles = {name for role, name in source.roles.items() if role != "value"}
        for column in source.relation.columns.values():
            kind, empty = found.get(column.name, (column.type, True))
            if column.name in roles:
                continue
            if empty:
                found[column.name] = column.type, column.empty
            elif not column.empty and column.type != kind:
                found[column.name] = "text", False
    return {name: Field(name, kind) for name, (kind, _) in found.items()}


def summarise(db: Database, sources: Sequence[EventSource]) -> OpenedEvents:
    """Fields, kinds and facts of sources that are open."""
    fields = unified_fields(sources)
    kinds: dict[str, int] = {}
    for source in sources:
        with db.reading(source.relation.name):
            rows = db.rows(f"SELECT {source.kind_sql}, count(*) FROM {source.relation.table} GROUP BY 1")
        for kind, count in rows:
            kinds[str(kind)] = kinds.get(str(kind), 0) + int(count)
    ordered = dict(sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0])))
    return OpenedEvents(fields, ordered, tuple(s.facts for s in sources), field_facts(db, sources, fields))


def field_facts(db: Database, sources: Sequence[EventSource], fields: Mapping[str, Field]) -> tuple[FieldFacts, ...]:
    """How filled and how varied each column is that plays no role."""
    seen: dict[str, tuple[int, int]] = {}
    later: dict[str, float] = {}
    total = 0
    for source in sources:
        free = [c for c in source.relation.columns.values() if c.name in fields and c.name not in source.roles.values()]
        total += _count_values(db, source, free, seen)
        later |= _later_shares(db, source, [c for c in free if c.type == "time"])
    return tuple(
        FieldFacts(fields[name], given / total if total else 0.0, distinct, total, later.get(name, 0.0))
        for name, (given, distinct) in seen.items()
    )


def _later_shares(db: Database, source: EventSource, columns: Sequence[RawColumn]) -> dict[str, float]:
    """The share of each column's times that lie more than a day after their event.

    0 where any lies after the last event of all: such columns hold plans (a stay that is booked), known in advance.
    """
    at = source.relation.columns[source.roles["at"]]
    if at.type != "time" or not columns:
        return {}
    table, moment, day = source.relation.table, at.column.time, "INTERVAL 1 DAY"
    asked = ", ".join(
        f"count({c.column.time}), count(*) FILTER ({c.column.time} > {moment} + {day}), "
        f"count(*) FILTER ({c.column.time} > (SELECT max({moment}) FROM {table}) + {day})"
        for c in columns
    )
    with db.reading(source.relation.name):
        row = db.rows(f"SELECT {asked} FROM {table}")[0]
    found = {}
    for i, column in enumerate(columns):
        given, later, planned = (int(n) for n in row[3 * i : 3 * i + 3])
        found[column.name] = later / given if given and not planned else 0.0
    return found


def _count_values(
    db: Database, source: EventSource, columns: Sequence[RawColumn], seen: dict[str, tuple[int, int]]
) -> int:
    """Add a source's counts per column; gives the rows looked at."""
    relation = source.relation
    share = max(1, relation.rows * len(columns) // FACTS_CELLS)
    where = f" WHERE hash({source.profile_sql}) % {share} = 0" if share > 1 else ""
    count = "count(DISTINCT {})" if relation.rows <= FEW_ROWS else "approx_count_distinct({})"
    forms = [c.column.number if c.type == "number" and c.native != "VARCHAR" else c.column.text for c in columns]
    asked = ", ".join(["count(*)", *(f"count({f}), {count.format(f)}" for f in forms)])
    with db.reading(relation.name):
        row = db.rows(f"SELECT {asked} FROM {relation.table}{where}")[0]
    for i, column in enumerate(columns):
        given, distinct = seen.get(column.name, (0, 0))
        seen[column.name] = (given + int(row[1 + 2 * i]), max(distinct, int(row[2 + 2 * i])))
    return int(row[0])
