"""Raw rows of all sources as one table of events: coded, judged, and each row that is left out with a reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from propend.document import nearest
from propend.engines.coding import number, short_text
from propend.engines.database import Database
from propend.engines.relations import RawColumn
from propend.engines.sources import EventSource, unified_fields
from propend.engines.times import DAY_US, RAW, local_time
from propend.errors import ConfigurationError, Mistake
from propend.events import EventRequest, Field
from propend.goal import NamedEvent
from propend.predicates import MISSING, Column, event_predicate, quote_name, quote_text
from propend.timeline import day_number
from propend.wall_clock import now_local_us

REASONS = (
    "no_profile", "no_time", "unparsable_time", "before_1970", "in_the_future", "marketer_made", "duplicate",
    "excluded", "after_as_of",
)  # fmt: skip
"""Why a row is left out; the first that applies. A row's ``reason`` is the place here plus one, or 0."""
MARKETER_MADE = "marketer_made"
"""The reason of rows that are something done to a profile; such are only in XDM's data."""
DUPLICATE = REASONS.index("duplicate") + 1
FORGOTTEN = len(REASONS) + 1
"""The reason of rows of people who are to be forgotten, which no statement knows (``gathering``)."""


@dataclass(frozen=True)
class Staged:
    """Events that are judged but not yet coded.

    Attributes:
        query: gives profile, moment, reason, kind, value, bad_value, bits, n0.., t0.. of every raw row.
        table: quoted name of the table behind it, where there must be one.
    """

    query: str
    table: str = ""


def stage(db: Database, sources: Sequence[EventSource], request: EventRequest) -> Staged:
    """How to read every source once; where events have ids, they are read now, to find those given twice.

    Raises:
        ConfigurationError: the request names a field that no source has, or a pattern the engine refuses.
        SourceUnreadableError: a file breaks off.
    """
    fields = wanted_fields(sources, request)
    check_patterns(db, request)
    if not any("id" in s.roles for s in sources):
        return Staged(f"SELECT {delivered(request)} FROM ({judging_sql(sources, request, fields)})")
    table = quote_name(db.new_name("staged"))
    with db.reading(", ".join(s.relation.name for s in sources)):
        db.run(f"CREATE TABLE {table} AS {judging_sql(sources, request, fields, 'id')}")
    mark_duplicates(db, table, request)
    return Staged(f"SELECT {delivered(request)} FROM {table}", table)


def delivered(request: EventRequest) -> str:
    """What is read of judged events, nothing of it null but texts."""
    numbers = [f"n{i}" for i in range(len(request.number_fields))]
    wanted = ["profile", "coalesce(moment, -1) AS moment", "reason", "kind", f"{number('value')} AS value"]
    wanted += ["CAST(bad_value AS TINYINT) AS bad_value", "bits", *(f"{number(n)} AS {n}" for n in numbers)]
    return ", ".join([*wanted, *(f"t{i}" for i in range(len(request.text_fields)))])


def count_copies(db: Database, sources: Sequence[EventSource], request: EventRequest, suspects: pa.Array) -> int:
    """How many rows are equal to another in every column, where no id tells them apart.

    Args:
        suspects: profiles with events that are alike as far as they are read; the others have none.
    """
    without = [s for s in sources if "id" not in s.roles]
    if not without or not len(suspects):
        return 0
    name = db.new_name("suspects")
    db.register(name, pa.table({"suspect": suspects}))
    staging = judging_sql(without, request, wanted_fields(sources, request), "row_hash")
    counted = "count(row_hash) - count(DISTINCT row_hash)"
    rows = f"FROM ({staging}) JOIN {quote_name(name)} ON profile = suspect WHERE reason = 0"
    with db.reading(", ".join(s.relation.name for s in without)):
        return int(db.rows(f"SELECT {counted} {rows}")[0][0])


# --- which fields -------------------------------------------------------------------------------------------


def wanted_fields(sources: Sequence[EventSource], request: EventRequest) -> dict[str, Field]:
    """Every field that conditions, numbers and texts of the request name.

    Raises:
        ConfigurationError: no source has one of them.
    """
    fields = unified_fields(sources)
    named = [(f"events.{s.name}.where", c.field) for s in request.selectors for c in s.event.where]
    named += [("exclude", c.field) for event in request.exclude for c in event.where]
    named += [("data.fields", f) for f in (*request.number_fields, *request.text_fields)]
    mistakes = [
        Mistake(
            place, f"there is no column {name!r}; columns are: {', '.join(list(fields)[:12])}", nearest(name, fields)
        )
        for place, name in dict.fromkeys(named)
        if name not in fields
    ]
    if mistakes:
        raise ConfigurationError(mistakes)
    return {name: fields[name] for _, name in named}


def check_patterns(db: Database, request: EventRequest) -> None:
    """Refuse patterns that the engine does not read.

    Raises:
        ConfigurationError: as said.
    """
    events = [(f"events.{s.name}.where", s.event) for s in request.selectors]
    events += [("exclude", e) for e in request.exclude]
    patterns = [(place, str(c.value)) for place, e in events for c in e.where if c.operator == "matches"]
    for place, pattern in dict.fromkeys(patterns):
        if not db.accepts(f"SELECT regexp_matches('', {quote_text(pattern)})"):
            raise ConfigurationError([Mistake(place, f"the pattern {pattern!r} is not valid in RE2's syntax")])


# --- the statement ------------------------------------------------------------------------------------------


def judging_sql(
    sources: Sequence[EventSource], request: EventRequest, fields: Mapping[str, Field], *further: str
) -> str:
    """The statement: sources as one, then times, then bits and reasons: in layers, so that each is evaluated once.

    Args:
        further: ``id`` or ``row_hash``, where they are needed: they take long.
    """
    several = {n for n in fields for s in sources if (c := s.relation.columns.get(n)) is not None and c.many}
    made = any(s.relation.xdm is not None for s in sources)
    raw = " UNION ALL ".join(_raw_sql(s, fields, several, "row_hash" in further, made) for s in sources)
    columns = {
        name: Column(field.type, f"x{i}_text", f"x{i}_number", f"x{i}_time", f"x{i}_items" if name in several else "")
        for i, (name, field) in enumerate(fields.items())
    }
    moment = local_time("local_at", "instant_at", request.time_zone)
    numbers = [f"{columns[n].number} AS n{i}" for i, n in enumerate(request.number_fields)]
    texts = [f"{short_text(columns[n].text)} AS t{i}" for i, n in enumerate(request.text_fields)]
    selected = ["profile", "moment", f"CAST({_reason_sql(request, columns, made)} AS TINYINT) AS reason"]
    selected += [
        "kind",
        "value",
        "bad_value",
        *further,
        f"{_bits_sql(request, columns)} AS bits",
    ]
    return (
        f"WITH raw AS ({raw}), timed AS (SELECT *, {moment} AS moment FROM raw) "
        f"SELECT {', '.join([*selected, *numbers, *texts])} FROM timed"
    )


def _raw_sql(
    source: EventSource, fields: Mapping[str, Field], several: Collection[str], hashed: bool, made: bool
) -> str:
    """Rows of a source; those without an id with a hash of all their columns, if it is wanted.

    Args:
        several: fields that an event may have several of.
        made: whether to say of each row whether it is something that the marketer did.
    """
    value, event_id = source.column("value"), source.column("id")
    columns, hashed = source.relation.columns, hashed and event_id is None
    rows = f"hash({', '.join(map(quote_name, source.relation.top))})" if hashed else "CAST(NULL AS UBIGINT)"
    selected = [
        f"{source.profile_sql} AS profile",
        f"{source.kind_sql} AS kind",
        f"{source.time.given} AS given",
        f"{source.time.local} AS local_at",
        f"{source.time.instant} AS instant_at",
        f"{value.column.number if value else MISSING.number} AS value",
        f"{_bad_value(value) if value else 'FALSE'} AS bad_value",
        f"{event_id.column.text if event_id else MISSING.text} AS id",
        f"{rows} AS row_hash",
        *([f"{source.made_sql} AS made"] if made else ()),
    ]
    for i, name in enumerate(fields):
        forms = columns[name].column if name in columns else MISSING
        selected += [f"{forms.text} AS x{i}_text", f"{forms.number} AS x{i}_number", f"{forms.time} AS x{i}_time"]
        if name in several:
            one = f"CASE WHEN {forms.text} IS NOT NULL THEN [{forms.text}] END"
            selected.append(f"{forms.items or one} AS x{i}_items")
    ready = f"SELECT *, {source.time.raw} AS {RAW} FROM {source.relation.table}"
    return f"SELECT {', '.join(selected)} FROM ({ready})"


def _bad_value(column: RawColumn) -> str:
    """Whether there is a text that is no number; a column of numbers holds none."""
    if column.type == "number" and column.native != "VARCHAR":
        return "FALSE"
    return f"({column.column.text} IS NOT NULL AND {column.column.number} IS NULL)"


def _bits_sql(request: EventRequest, columns: Mapping[str, Column]) -> str:
    bits = [
        f"CASE WHEN {event_predicate(s.event, 'kind', columns)} THEN {1 << i}::UBIGINT ELSE 0::UBIGINT END"
        for i, s in enumerate(request.selectors)
    ]
    return f"({' | '.join(bits)})" if bits else "0::UBIGINT"


def _reason_sql(request: EventRequest, columns: Mapping[str, Column], made: bool) -> str:
    tests = {
        "no_profile": "profile IS NULL",
        "no_time": "NOT given",
        "unparsable_time": "moment IS NULL",
        "before_1970": "moment < 0",
        "in_the_future": f"moment > {now_local_us(request.time_zone) + DAY_US}",
        MARKETER_MADE: "made" if made else "",
        "excluded": _any_of(request.exclude, columns),
        "after_as_of": f"moment >= {day_number(request.as_of) * DAY_US}" if request.as_of else "",
    }
    cases = [f"WHEN {tests[r]} THEN {i}" for i, r in enumerate(REASONS, 1) if tests.get(r)]
    return f"CASE {' '.join(cases)} ELSE 0 END"


def _any_of(events: Sequence[NamedEvent], columns: Mapping[str, Column]) -> str:
    return " OR ".join(event_predicate(e, "kind", columns) for e in events)


# --- duplicates ---------------------------------------------------------------------------------------------


def mark_duplicates(db: Database, table: str, request: EventRequest) -> None:
    """Of the rows of one id the first by time stays, by everything else where times are equal."""
    usable = f"id IS NOT NULL AND (reason = 0 OR reason > {DUPLICATE})"
    order = ", ".join(["moment", "profile", *tie_order(request)])
    db.run(f"""
        UPDATE {table} SET reason = {DUPLICATE} WHERE rowid IN (
            SELECT row FROM (
                SELECT rowid AS row, row_number() OVER (PARTITION BY id ORDER BY {order}, reason, rowid) AS place
                FROM {table} WHERE {usable} AND id IN (
                    SELECT id FROM {table} WHERE {usable} GROUP BY id HAVING count(*) > 1))
            WHERE place > 1)""")


def tie_order(request: EventRequest) -> list[str]:
    """What orders events of one profile and time, so that the order of input does not matter."""
    numbers = [f"n{i}" for i in range(len(request.number_fields))]
    texts = [f"t{i}" for i in range(len(request.text_fields))]
    return ["kind", "value", "bits", *numbers, *texts]
