"""Links between ids, read from tables and from the events themselves, each with the time from which it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from propend.columns import listed, nearest_column
from propend.engines.attributes import ALWAYS
from propend.engines.coding import not_blank
from propend.engines.database import Database
from propend.engines.linking import resolve
from propend.engines.relations import RawColumn, Relation
from propend.engines.sources import EventSource, open_relation
from propend.engines.times import DAY_US, RAW, local_time, read_times
from propend.errors import ColumnNotFoundError
from propend.events import EventRequest
from propend.instance import Data, LinkEvents, Links
from propend.persons import LINK_REASONS, Persons
from propend.predicates import MISSING, event_predicate
from propend.protection import Forgotten
from propend.timeline import day_number
from propend.wall_clock import now_local_us

LINK_ROWS = 1 << 17


def read_persons(
    db: Database,
    sources: Sequence[EventSource],
    data: Data,
    folder: Path,
    tables: Mapping[str, Any],
    request: EventRequest,
) -> Persons | None:
    """Which ids are one person, by all links of an instance; None where it names none.

    Raises:
        ColumnNotFoundError: a table, or every source of events, lacks a column that is named.
        SourceNotFoundError, SourceUnreadableError, ColumnTypeError: 200, 201, 203.
    """
    given = data.identities
    if given is None:
        return None
    selects: list[str] = []
    for one in given.links:
        if one.events is not None:
            selects += _of_events(sources, one.events, request)
        else:
            selects.append(_of_table(db, open_relation(db, one, folder, tables), one, request))
    counted, pairs = np.zeros(len(LINK_REASONS) + 1, dtype=np.int64), []
    with db.reading("data.identities"):
        for batch in db.batches(_judged(selects, request), LINK_ROWS):
            reason, rows = (np.asarray(batch.column(name).to_numpy()) for name in ("reason", "given"))
            counted += np.bincount(reason, weights=rows, minlength=len(counted)).astype(np.int64)
            pairs.append(batch.filter(pa.array(reason == 0)))
    read, aside = int(counted.sum()), dict(zip(LINK_REASONS, counted[1:].tolist(), strict=True))
    links = pa.Table.from_batches(pairs) if pairs else _NONE
    a, b = (links.column(side).combine_chunks() for side in ("ab" if given.prefer == "b" else "ba"))
    at = np.asarray(links.column("moment").to_numpy(), dtype=np.int64)
    persons = resolve(a, b, at, given.most, given.shared, read, aside)
    return _without(persons, request.forgotten) if request.forgotten else persons


_NONE = pa.table({"a": pa.array([], pa.string()), "b": pa.array([], pa.string()), "moment": pa.array([], pa.int64())})


def _without(persons: Persons, forgotten: Forgotten) -> Persons:
    """Whoever is to be forgotten by one id is forgotten by all."""
    named = [name.encode() for name in persons.ids.tolist()]
    gone = np.unique(persons.root[: len(named)][np.array(forgotten.among(named), dtype=np.bool_)])
    also = np.flatnonzero(np.isin(persons.root[: len(named)], gone))
    return replace(persons, forgotten=frozenset(named[i] for i in also.tolist()))


# --- statements -----------------------------------------------------------------------------------------------


def _of_table(db: Database, relation: Relation, given: Links, request: EventRequest) -> str:
    """Rows of a table of links: a, b, moment, known (whether it has a time), excluded."""
    columns = given.columns
    if columns is None:
        raise ValueError("a table of links has columns")
    a, b = (_named(relation, getattr(columns, side), side) for side in "ab")
    moment, raw = f"CAST('{ALWAYS}' AS BIGINT)", "NULL"
    if columns.at is not None:
        column = _named(relation, columns.at, "at")
        with db.reading(relation.name):
            time = read_times(db, relation.table, column.name, column.sql, column.native)
        moment, raw = local_time(time.local, time.instant, request.time_zone), time.raw
    return (
        f"SELECT {not_blank(a.id_text)} AS a, {not_blank(b.id_text)} AS b, {moment} AS moment, FALSE AS excluded "
        f"FROM (SELECT *, {raw} AS {RAW} FROM {relation.table})"
    )


def _of_events(sources: Sequence[EventSource], given: LinkEvents, request: EventRequest) -> list[str]:
    """Rows of events that have both ids, of every source that has both columns."""
    having = [s for s in sources if {given.a, given.b} <= s.relation.columns.keys()]
    if not having:
        lacking = next((n for n in (given.a, given.b) if not any(n in s.relation.columns for s in sources)), given.b)
        _named(sources[0].relation, lacking, "identities")
    return [_of_source(source, given, request) for source in having]


def _of_source(source: EventSource, given: LinkEvents, request: EventRequest) -> str:
    relation = source.relation
    a, b = (not_blank(relation.columns[name].id_text) for name in (given.a, given.b))
    fields = {c.field for event in request.exclude for c in event.where}
    forms = {name: relation.columns[name].column if name in relation.columns else MISSING for name in fields}
    excluded = " OR ".join(event_predicate(e, f"({source.kind_sql})", forms) for e in request.exclude) or "FALSE"
    moment = local_time(source.time.local, source.time.instant, request.time_zone)
    return (
        f"SELECT {a} AS a, {b} AS b, {moment} AS moment, ({excluded}) AS excluded "
        f"FROM (SELECT *, {source.time.raw} AS {RAW} FROM {relation.table}) "
        f"WHERE {a} IS NOT NULL AND {b} IS NOT NULL AND {a} <> {b}"
    )


def _judged(selects: Sequence[str], request: EventRequest) -> str:
    """Each pair of ids with the time at which it is first known, by what is wrong with it, and how many rows say so."""
    tests = {
        "incomplete": "a IS NULL OR b IS NULL OR a = b",
        "no_time": "moment IS NULL",
        "before_1970": f"moment < 0 AND moment <> CAST('{ALWAYS}' AS BIGINT)",
        "in_the_future": f"moment > {now_local_us(request.time_zone) + DAY_US}",
        "excluded": "excluded",
        "after_as_of": f"moment >= {day_number(request.as_of) * DAY_US}" if request.as_of else "FALSE",
    }
    cases = " ".join(f"WHEN {tests[r]} THEN {i}" for i, r in enumerate(LINK_REASONS, 1) if r in tests)
    judged = f"SELECT *, CASE {cases} ELSE 0 END AS reason FROM ({' UNION ALL '.join(selects)})"
    usable = "reason = 0"
    return (
        f"SELECT CASE WHEN {usable} THEN a END AS a, CASE WHEN {usable} THEN b END AS b, "
        f"CAST(reason AS BIGINT) AS reason, CAST(min(moment) AS BIGINT) AS moment, "
        f"CAST(count(*) AS BIGINT) AS given FROM ({judged}) GROUP BY 1, 2, 3"
    )


def _named(relation: Relation, name: str, role: str) -> RawColumn:
    if name in relation.columns:
        return relation.columns[name]
    near = nearest_column(name, relation.types)
    raise ColumnNotFoundError(
        f"{relation.name!r} has no column {name!r}, which data.identities names; its columns are: "
        f"{listed(relation.types)}.",
        f"did you mean {near!r}?" if near else "name one of them.",
        source=relation.name, role=role, column=name, nearest=near,
    )  # fmt: skip
