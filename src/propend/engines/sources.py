"""Event sources with their roles: which column is the profile, the time, the kind, the value, the id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from propend.columns import NEEDED, ROLES, Guess, guess_columns, is_value, listed, might_be, nearest_column
from propend.connectors import Origin, Table, locate
from propend.connectors.xdm import MARKETER_MADE, namespace, read_identity
from propend.engines.coding import not_blank, short_text
from propend.engines.database import Database
from propend.engines.fetching import fetched
from propend.engines.mirrors import Kept, read_kept
from propend.engines.relations import RawColumn, Relation, by_column, described, files_without, relation_of, sample_of
from propend.engines.times import NO_TIME, TimeColumn, read_times
from propend.engines.xdm import KIND, VALUE, check_events, recognised
from propend.errors import (
    ColumnNotFoundError,
    ColumnTypeError,
    ConfigurationError,
    IdentityNotFoundError,
    Mistake,
    NamespacesDifferError,
)
from propend.events import Field, FieldFacts, MirrorFacts, OpenedEvents, SourceFacts, XdmFacts
from propend.instance import Attributes, Columns, Data, Links, Source
from propend.predicates import FieldType, quote_text

NO_KIND = "(none)"
DEFAULT_KIND = "event"
EVENTS_TABLE = "events"
"""The name under which a caller's table stands in for all event sources."""
MOSTLY_NUMBERS = 0.9
"""From which share of numbers on a column of values is one of numbers; what is none is left empty, counted and said."""
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
        namespace: of the profiles' ids; empty where nobody says it.
        made: of XDM's events that are something done to a profile: how many, by kind.
        currencies: of XDM's events with a value: how many, by currency.
        found: kinds of XDM's events there are.
        lacking: files without the column of a role that events can do without, by role.
    """

    relation: Relation
    roles: dict[str, str]
    guesses: tuple[Guess, ...]
    kind: str | None
    time: TimeColumn
    namespace: str = ""
    made: dict[str, int] = field(default_factory=dict)
    currencies: dict[str, int] = field(default_factory=dict)
    found: tuple[str, ...] = ()
    lacking: dict[str, tuple[str, ...]] = field(default_factory=dict)

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
    def made_sql(self) -> str:
        """Whether a row is something done to a profile."""
        if self.roles.get("event") != KIND:
            return "FALSE"
        return f"({self.kind_sql} IN ({', '.join(map(quote_text, MARKETER_MADE))}))"

    @property
    def facts(self) -> SourceFacts:
        guessed = tuple(g.role for g in self.guesses)
        reasons = {g.role: g.reason for g in self.guesses}
        relation = self.relation
        known = relation.xdm
        xdm = None
        if known is not None:
            by = {kind: known.kinds.get(kind, "eventType") for kind in self.found}
            xdm = XdmFacts(self.roles["profile"], known.candidates, by, self.made, self.currencies)
        return SourceFacts(
            relation.name,
            relation.format,
            relation.rows,
            dict(self.roles),
            guessed,
            reasons,
            relation.left_out,
            xdm,
            relation.mirror,
            self.lacking,
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
    _check_namespaces([(s.name or str(s.path or "query"), _said_namespace(s)) for s in wanted])
    relations = [_open_source(db, s, data, folder, tables, i) for i, s in enumerate(wanted, 1)]
    for relation in relations:
        check_events(relation)
    _check_named_somewhere(data.columns, [r for r, s in zip(relations, wanted, strict=True) if s.columns is None])
    _check_namespaces(
        [(r.name, r.xdm.namespace if r.xdm else _said_namespace(s)) for r, s in zip(relations, wanted, strict=True)]
    )
    return tuple(_with_roles(db, relation, source, data) for relation, source in zip(relations, wanted, strict=True))


def _said_namespace(source: Source) -> str:
    """The namespace that a document says of a source; empty where it says none."""
    wanted = read_identity(source.identity) if source.identity is not None else None
    if wanted is not None and wanted.namespace:
        return wanted.namespace
    return namespace(source.namespace) if source.namespace is not None else ""


def _check_namespaces(named: Sequence[tuple[str, str]]) -> None:
    """Profiles are put together by equal ids: these must be of one kind (spec ID-02).

    Raises:
        NamespacesDifferError: they are not.
    """
    known = [(name, space) for name, space in named if space]
    if len({space for _, space in known}) < 2:
        return
    listing = "; ".join(f"{name!r}: {space}" for name, space in known)
    raise NamespacesDifferError(
        f"The sources tell profiles apart by ids of different namespaces: {listing}.",
        "name an `identity:` of one namespace for every source; an id of one kind never equals one of another.",
        namespaces=dict(known),
    )


def _wanted(data: Data, tables: Mapping[str, Any]) -> tuple[Source, ...]:
    if EVENTS_TABLE not in tables:
        return data.events
    only = data.events[0] if len(data.events) == 1 else None
    said = only.model_dump(include={"kind", "format", "identity", "namespace"}) if only else {}
    return (Source(path=EVENTS_TABLE, columns=only.columns if only else None, **said),)


def _open_source(
    db: Database, source: Source, data: Data, folder: Path, tables: Mapping[str, Any], place: int
) -> Relation:
    """The rows of a source; of an incremental one only new rows are read, where there is a place to keep the others.

    Args:
        place: of the source in the document, from 1.
    """
    if source.incremental is None or source.database is None:
        return open_relation(db, source, folder, tables)
    if db.mirrors is None:
        found = open_relation(db, source, folder, tables)
        return replace(found, mirror=MirrorFacts(found.rows, 0, "nowhere"))
    named = data.columns_of(source)
    origin = Origin(
        (),
        folder,
        tables,
        db.scratch,
        table=Table(source.database, source.table, source.query),
        links=db.links,
    )
    kept = Kept(
        origin,
        source.name or origin.name,
        str(named.at),
        str(named.profile),
        source.incremental.late,
        f"data.events[{place}].incremental",
        {role: name for role in ROLES if (name := getattr(named, role)) is not None},
    )
    located, facts = read_kept(db, kept, db.mirrors)
    return replace(recognised(db, relation_of(db, located), source), mirror=facts)


def open_relation(
    db: Database, source: Source | Attributes | Links, folder: Path, tables: Mapping[str, Any]
) -> Relation:
    """The rows of a source, or of a table of attributes or of links."""
    label = getattr(source, "name", None)
    if not isinstance(source, Links) and source.database is not None:
        wanted = Table(source.database, source.table, source.query)
        found = locate(Origin((), folder, tables, db.scratch, table=wanted, links=db.links))
        file = db.scratch / f"{db.new_name('fetched')}.parquet"
        return recognised(db, relation_of(db, fetched(found, label or found.name, file)), source)
    if source.query is not None:
        place = label or "query"
        for name, table in tables.items():
            register_table(db, name, table)
        kept = db.new_name("query")
        db.run_query(kept, source.query, folder, place)
        return _recognised(db, described(db, kept, place, "query"), source)
    paths = (source.path,) if isinstance(source.path, str) else tuple(source.path or ())
    since = getattr(source, "since", None)
    located = locate(
        Origin(
            paths,
            folder,
            tables,
            db.scratch,
            getattr(source, "version", None),
            since and date.fromisoformat(since),
            db.reach,
        )
    )
    return _recognised(db, relation_of(db, replace(located, name=label or located.name)), source)


def _recognised(db: Database, relation: Relation, source: Source | Attributes | Links) -> Relation:
    """With what XDM's shape says; a table of links has none."""
    return relation if isinstance(source, Links) else recognised(db, relation, source)


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
    if source.identity is not None and relation.xdm is None and own.profile is None:
        roles["profile"] = _identity_column(relation, source.identity)
    settled = dict.fromkeys((r for r in ROLES if getattr(data.columns, r) is not None), "")
    settled |= {"event": ""} if kind is not None else {}
    guesses = _guesses(db, relation, settled | roles)
    # what is labelled describes nobody, unless somebody says so
    guesses = {r: g for r, g in guesses.items() if not (r in ("event", "value") and g.column in data.labels)}
    roles |= {role: guess.column for role, guess in guesses.items()}
    for role in NEEDED:
        if role not in roles:
            raise _not_guessed(db, relation, role, getattr(data.columns, role))
        if relation.xdm is None:  # of XDM, a file may say the same in another way
            _check_every_file(db, relation, role, roles[role])
    relation = _with_value(db, relation, roles)
    at = relation.columns[roles["at"]]
    with db.reading(relation.name):
        time = read_times(db, relation.table, at.name, at.sql, at.native)
    ordered = {role: roles[role] for role in ROLES if role in roles}
    lacking = {} if relation.xdm is not None else _lacking(db, relation, ordered)
    found = EventSource(
        relation, ordered, tuple(guesses.values()), kind, time, _said_namespace(source), lacking=lacking
    )
    return found if relation.xdm is None else _of_xdm(db, found)


def _guesses(db: Database, relation: Relation, settled: Mapping[str, str]) -> dict[str, Guess]:
    """Likely columns of the roles that have none; of XDM the shape says them, and only who it was may be guessed."""
    known = relation.xdm
    if known is None:
        return guess_columns(relation.types, sample_of(db, relation), settled)
    found = {r: Guess(r, c, known.reasons[r], 100) for r, c in known.roles.items() if not settled.get(r, "")}
    found = {role: guess for role, guess in found.items() if role != "event" or settled.get("event") != ""}
    if "profile" not in found and not settled.get("profile"):
        given = dict.fromkeys(ROLES, "") | {r: g.column for r, g in found.items()}
        given.pop("profile")
        found |= guess_columns(relation.types, sample_of(db, relation), given)
    if "profile" not in found and not settled.get("profile"):
        raise IdentityNotFoundError(
            f"{relation.name!r} holds XDM events and no identity that is filled.",
            "name the field that holds the profiles' ids: `identity: EMAIL (personalEmail.address)`.",
            source=relation.name, candidates=[label for label, _ in known.candidates],
        )  # fmt: skip
    return found


def _identity_column(relation: Relation, identity: str) -> str:
    """The column that ``identity`` names, of data that are not XDM."""
    wanted = read_identity(identity)
    path = wanted.path if wanted is not None else identity
    if path not in relation.columns:
        raise _no_column(relation, "profile", path)
    return path


def _of_xdm(db: Database, source: EventSource) -> EventSource:
    """With times in UTC where they carry no zone, and what there is of kinds and currencies."""
    relation, time, known = source.relation, source.time, source.relation.xdm
    if known is None:
        return source
    if source.roles["at"] == known.roles.get("at"):
        instant = time.local if time.instant == NO_TIME else f"coalesce({time.instant}, {time.local})"
        time = replace(time, local=NO_TIME, instant=instant)
    currency, value = known.currency, source.column("value")
    currencies: dict[str, int] = {}
    if currency and value is not None and value.name == VALUE:
        with db.reading(relation.name):
            rows = db.rows(
                f"SELECT upper({currency}), count(*) FROM {relation.table} WHERE {value.column.number} IS NOT NULL "
                f"GROUP BY 1 ORDER BY 2 DESC, 1"
            )
        currencies = {str(code): int(n) for code, n in rows if code is not None}
    return replace(source, time=time, namespace=source.namespace or known.namespace, currencies=currencies)


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


def _lacking(db: Database, relation: Relation, roles: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Files without the column of a role that events can do without: such rows are read as if it were empty."""
    with db.reading(relation.name):
        found = {r: tuple(files_without(db, relation, c)) for r, c in roles.items() if r not in NEEDED}
    return {role: files for role, files in found.items() if files}


_MEANING = {"profile": "the profile's id", "at": "the event's time"}


def _not_guessed(db: Database, relation: Relation, role: str, named: str | None) -> ColumnNotFoundError:
    if named is not None:
        return _no_column(relation, role, named)
    values = sample_of(db, relation)
    alike = [c for c in relation.columns if might_be(role, c, relation.columns[c].type, values.get(c, ()))]
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


def _with_value(db: Database, relation: Relation, roles: Mapping[str, str]) -> Relation:
    """A column of values must hold a number somewhere, if it holds anything; texts of which most are numbers are such.

    Raises:
        ColumnTypeError: none is a number.
    """
    column = relation.columns[roles["value"]] if "value" in roles else None
    if column is None or column.type == "number":
        return relation
    forms = column.column
    with db.reading(relation.name):
        counted = f"SELECT count({forms.text}), count({forms.number}), min({forms.text}) FROM {relation.table}"
        given, numbers, example = db.rows(counted)[0]
    if given and column.type == "text" and numbers >= MOSTLY_NUMBERS * given:
        return replace(relation, columns=relation.columns | {column.name: replace(column, type="number")})
    if not given or (numbers and column.type == "text"):
        return relation
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


def summarise(db: Database, sources: Sequence[EventSource]) -> tuple[tuple[EventSource, ...], OpenedEvents]:
    """Fields, kinds and facts of sources that are open; and the sources with what was found of XDM's kinds."""
    fields = unified_fields(sources)
    kinds: dict[str, int] = {}
    counted = []
    for source in sources:
        with db.reading(source.relation.name):
            rows = db.rows(f"SELECT {source.kind_sql}, count(*) FROM {source.relation.table} GROUP BY 1")
        counted.append(with_kinds(source, {str(kind): int(count) for kind, count in rows}, kinds))
    return tuple(counted), OpenedEvents(
        fields, ordered_kinds(kinds), tuple(s.facts for s in counted), field_facts(db, sources, fields)
    )


def with_kinds(source: EventSource, found: Mapping[str, int], kinds: dict[str, int]) -> EventSource:
    """A source that knows its kinds; those that are behaviour are added to ``kinds``."""
    made = {k: n for k, n in found.items() if source.roles.get("event") == KIND and k in MARKETER_MADE}
    for kind, count in found.items():
        if kind not in made:
            kinds[kind] = kinds.get(kind, 0) + count
    if source.relation.xdm is None:
        return source
    ordered = dict(sorted(made.items(), key=lambda pair: (-pair[1], pair[0])))
    return replace(source, made=ordered, found=tuple(sorted(found)) if source.roles.get("event") == KIND else ())


def ordered_kinds(kinds: Mapping[str, int]) -> dict[str, int]:
    """Most events first."""
    return dict(sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0])))


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

    def asked(column: RawColumn) -> list[str]:
        time = column.column.time
        after_all = f"{time} > (SELECT max({moment}) FROM {table}) + {day}"
        return [f"count({time})", *(f"count(*) FILTER ({t})" for t in (f"{time} > {moment} + {day}", after_all))]

    with db.reading(source.relation.name):
        return {
            column.name: int(later) / int(given) if given and not planned else 0.0
            for column, (given, later, planned) in by_column(db, table, columns, asked)
        }


def _count_values(
    db: Database, source: EventSource, columns: Sequence[RawColumn], seen: dict[str, tuple[int, int]]
) -> int:
    """Add a source's counts per column; gives the rows looked at."""
    relation = source.relation
    share = max(1, relation.rows * len(columns) // FACTS_CELLS)
    where = f" WHERE hash({source.profile_sql}) % {share} = 0" if share > 1 else ""
    count = "count(DISTINCT {})" if relation.rows <= FEW_ROWS else "approx_count_distinct({})"

    def asked(column: RawColumn) -> list[str]:
        is_plain = column.type == "number" and column.native != "VARCHAR"
        form = column.column.number if is_plain else column.column.text
        return [f"count({form})", count.format(form)]

    with db.reading(relation.name):
        ((looked_at,),) = db.rows(f"SELECT count(*) FROM {relation.table}{where}")
        for column, (filled, values) in by_column(db, f"{relation.table}{where}", columns, asked):
            given, distinct = seen.get(column.name, (0, 0))
            seen[column.name] = (given + int(filled), max(distinct, int(values)))
    return int(looked_at)
